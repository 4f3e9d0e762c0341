"""The currencies a shop can charge in: ISO 4217's active codes."""

from typing import Final

# From the package iso-codes 4.15 (iso_4217.json), without the codes withdrawn since (HRK, CUC, SLL,
# ZWL, ANG, BGN) and with the new ones (ZWG, XCG). Funds, metals, units of account and the codes for
# tests and for no currency are left out: no merchant can charge in them.
ACTIVE_CURRENCIES: Final = frozenset(
    """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD
    CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS
    GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW
    KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR
    MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR
    SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX
    USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
    """.split()  # noqa: SIM905 - nobody proofreads 155 quoted strings
)
"""List one, kept by SIX for ISO: https://www.six-group.com/en/products-services/financial-information/data-standards.html"""
