"""Texts that break careless readers. Every catalog begins with them, that of a demo, too."""

from typing import Final

AWKWARD_TITLES: Final = (
    'Earl Grey "Blue Flower", 3/4" tin & \'loose\' leaf',
    "Emoji mug ☕️🔥👩\u200d👩\u200d👧",
    "<b>Bold</b> & <i>italic</i> <script>alert(1)</script>",
    "Tea &amp; biscuits &#8211; &lt;gift&gt; box&nbsp;2",
    "قميص قطني أزرق مقاس كبير",
    "Tab\tseparated and  double   spaces",
    "Line one\nline two\r\nline three",
    "Null marker \\N, C:\\temp\\new, \\. and a backslash at the end \\",
    "  leading and trailing spaces  ",
    ("A very long title that goes on " * 9)[:255],
    "Smo\u0308rga\u030asta\u030arta, decomposed",
    "日本語の商品名 テスト",
    "Gift, free of charge",
    "Tea without a stock keeping unit",
    "Tea with an empty stock keeping unit",
    "Tea with the stock keeping unit 0",
    "Backordered beyond the shelf",
    "Stock nobody counts",
    "No picture at all",
    "Hidden until tomorrow",
    "Retired last year",
    "Only for those who have the link",
    "=SUM(1;2), +46 8 123 45, @home; null",
    "Variant changed after its product",
)
"""One title per awkward product, in the order in which a catalog begins with them."""

PLAIN_NOUNS: Final = ("Tea", "Cup", "Bowl", "Pot", "Tray", "Spoon", "Plate", "Jar", "Linen", "Lamp")
PLAIN_WORDS: Final = (
    "Amber", "Birch", "Coral", "Dune", "Ember", "Fjord", "Grove", "Harbour", "Indigo", "Juniper",
    "Kelp", "Lichen", "Moss", "Nordic", "Oak", "Pine",
)  # fmt: skip
COLOURS: Final = ("Röd", "Blå", "Grön", "Svart", "Vit", "Gul", "Brun", "Rosa", "Grå", "Lila")
SIZES: Final = ("Small", "Medium", "Large", "X-Large", "XX-Large")
