"""Every parser of the package, each with the property test that any input leaves it well.

A parser reads what somebody else wrote: a platform, a neighbour, an operator, a file. Its test has
the mark `parser`, and runs longer under the hypothesis profile `long` (CONTRIBUTING.md, Test).
"""

from typing import Final

PARSERS: Final = {
    "platforms/http/json_body.py: JSON": (
        "platforms/http/test_json_body.py::test_parsing_ends_in_a_value_or_a_value_error"
    ),
    "platforms/http/judging.py: answers": (
        "platforms/http/test_any_answer.py::test_any_answer_is_judged"
    ),
    "platforms/http/spoiled_body.py: JSON among messages": (
        "platforms/http/test_spoiled_body.py::test_any_body_ends_in_json_or_none"
    ),
    "platforms/http/spoiled_body.py: gzip without its header": (
        "platforms/http/test_spoiled_body.py::test_any_bytes_are_gzip_or_stay"
    ),
    "platforms/http/retrying.py: Retry-After": (
        "platforms/http/test_client.py::test_no_retry_after_breaks_the_client"
    ),
    "platforms/http/download.py: Content-Range, ETag, Content-Length": (
        "platforms/http/test_any_range.py::test_any_range_gives_the_file_or_an_error"
    ),
    "platforms/http/proxy.py: answers to CONNECT": (
        "platforms/http/test_any_answer.py"
        "::test_any_answer_of_a_proxy_opens_a_tunnel_or_names_the_proxy"
    ),
    "platforms/http/proxy.py: user and password": (
        "platforms/http/test_proxy.py::test_any_user_and_password_can_be_written"
    ),
    "platforms/adapters.py: domains": (
        "platforms/test_adapters.py::test_no_text_breaks_the_parser"
    ),
    "platforms/kit/json_values.py: paths in JSON": (
        "platforms/kit/test_json_values.py::test_a_path_through_anything_ends_in_a_value_or_in_none"
    ),
    "platforms/kit/rejects.py: values of a field": (
        "platforms/kit/test_rejects.py::test_any_value_is_read_exactly_or_refused_by_name"
    ),
    "platforms/kit/credentials.py: expires_at": (
        "platforms/kit/test_credentials.py::test_no_end_breaks_the_reading_of_a_shop"
    ),
    "platforms/kit/rest/rate_headers.py: rate headers": (
        "platforms/kit/rest/test_rate_headers.py"
        "::test_nothing_that_is_written_there_breaks_the_reading"
    ),
    "platforms/kit/rest/paging.py: links": (
        "platforms/kit/rest/test_paging.py::test_no_link_breaks_the_reading"
    ),
    "platforms/shopify/answers.py: errors and refusals": (
        "platforms/shopify/test_answers.py::test_no_body_breaks_the_judgement"
    ),
    "platforms/shopify/failed_fields.py: errors beside data": (
        "platforms/shopify/test_failed_fields.py::test_no_errors_break_the_search"
    ),
    "platforms/shopify/gid.py: global ids": (
        "platforms/shopify/test_gid.py::test_the_number_comes_out_as_text"
    ),
    "platforms/shopify/throttle.py: cost and throttle status": (
        "platforms/shopify/test_any_answer.py"
        "::test_any_cost_leads_to_a_wait_of_some_seconds_or_to_none"
    ),
    "platforms/shopify/times.py: times": (
        "platforms/shopify/test_any_answer.py::test_any_time_has_a_zone_or_is_none"
    ),
    "platforms/shopify/reading/shop_page.py: the shop": (
        "platforms/shopify/test_any_answer.py"
        "::test_any_answer_about_the_shop_has_a_currency_or_is_refused"
    ),
    "platforms/shopify/reading/chains.py: pages of products": (
        "platforms/shopify/test_any_answer.py::test_any_page_of_products_is_read_or_refused"
    ),
    "platforms/shopify/reading/chains.py: pages of variants": (
        "platforms/shopify/test_any_answer.py::test_any_page_of_variants_is_read_or_refused"
    ),
    "platforms/shopify/reading/counts.py: counts": (
        "platforms/shopify/test_any_answer.py::test_any_counts_end"
    ),
    "platforms/shopify/bulk/operation.py: polls": (
        "platforms/shopify/test_any_answer.py::test_any_poll_states_an_operation_or_is_refused"
    ),
    "platforms/shopify/bulk/left.py: listed operations": (
        "platforms/shopify/test_any_answer.py::test_any_list_of_operations_is_read"
    ),
    "platforms/shopify/bulk/join.py: lines of a result": (
        "platforms/shopify/bulk/test_join.py::test_no_bytes_raise_anything_but_what_is_promised"
    ),
    "platforms/shopify/mapping/normalize.py: products and variants": (
        "platforms/shopify/mapping/test_normalize.py"
        "::test_any_value_in_any_field_is_a_row_or_a_reject_and_rows_say_what_was_sent"
    ),
    "platforms/shopify/mapping/plain_bulk.py: lines of a result": (
        "platforms/shopify/mapping/test_plain_bulk.py::test_both_ways_agree_on_every_result"
    ),
    "platforms/shopify/mapping/plain_pages.py: pages": (
        "platforms/shopify/mapping/test_plain_pages.py::test_both_ways_agree_on_every_page"
    ),
    "platforms/woocommerce/talking/origin.py: redirects": (
        "platforms/woocommerce/talking/test_origin.py"
        "::test_any_redirect_leads_to_the_shop_or_to_an_error"
    ),
    "platforms/woocommerce/talking/refusals.py: error codes": (
        "platforms/woocommerce/test_any_answer.py::test_any_refusal_has_an_error_with_a_remedy"
    ),
    "platforms/woocommerce/reading/list_page.py: lists and totals": (
        "platforms/woocommerce/test_any_answer.py::test_any_list_is_read_or_refused"
    ),
    "platforms/woocommerce/reading/list_page.py: refusals of a size": (
        "platforms/woocommerce/test_any_answer.py"
        "::test_any_refusal_of_a_size_leads_to_a_smaller_one"
    ),
    "platforms/woocommerce/reading/currency.py: currencies": (
        "platforms/woocommerce/test_any_answer.py"
        "::test_any_answer_about_the_currency_is_three_capitals_or_none"
    ),
    "platforms/woocommerce/reading: what syncs remember of a shop": (
        "platforms/woocommerce/test_any_answer.py::test_no_memory_of_a_shop_breaks_its_reading"
    ),
    "platforms/woocommerce/mapping/normalize.py: products": (
        "platforms/woocommerce/mapping/test_normalize.py"
        "::test_no_value_in_a_product_breaks_the_mapping"
    ),
    "platforms/woocommerce/mapping/normalize.py: variations": (
        "platforms/woocommerce/mapping/test_normalize.py"
        "::test_no_value_in_a_variation_breaks_the_mapping"
    ),
    "platforms/woocommerce/mapping/forms.py: other types of one meaning": (
        "platforms/woocommerce/mapping/test_forms.py::test_nothing_is_lost_without_a_word"
    ),
    "platforms/woocommerce/mapping/float_noise.py: prices": (
        "platforms/woocommerce/mapping/test_float_noise.py"
        "::test_nothing_moves_by_what_the_column_could_show"
    ),
    "platforms/woocommerce/mapping/plain_pages.py: pages": (
        "platforms/woocommerce/mapping/test_plain_pages.py::test_both_ways_agree_on_every_page"
    ),
    "credentials/token_service.py: answers, and the models of credentials": (
        "credentials/test_any_answer.py::test_any_answer_is_credentials_or_an_error"
    ),
    "archive/manifest.py: manifests": (
        "archive/test_any_file.py::test_any_manifest_is_a_snapshot_or_none"
    ),
    "archive/raw_archive.py: records of interrupted syncs": (
        "archive/test_any_file.py::test_any_record_of_an_interrupted_sync_is_a_sync_or_none"
    ),
    "hints/receiver.py: requests": "hints/test_any_delivery.py::test_any_request_has_a_status",
    "platforms/kit/webhook_values.py: deliveries of webhooks": (
        "hints/test_any_delivery.py::test_any_signed_body_is_read_or_refused"
    ),
    "hints/sources.py: X-Forwarded-For": (
        "hints/test_any_delivery.py::test_any_forwarded_address_leads_to_a_source"
    ),
    "archive/page_file.py: pages": (
        "archive/test_any_file.py::test_any_bytes_in_a_page_end_the_resumption_or_are_a_page"
    ),
    "model/catalog_item.py: prices": (
        "model/test_catalog_item.py::test_every_other_price_is_refused_and_none_is_changed"
    ),
    "model/shop.py: host names": (
        "model/test_shop.py::test_an_accepted_host_name_has_only_harmless_labels"
    ),
    "model/shop.py: paths": "model/test_shop.py::test_a_path_leads_to_no_other_place",
    "state/shop_csv.py: files of shops": (
        "state/test_shop_csv.py::test_any_bytes_are_read_or_refused"
    ),
    "state/inbox.py: rows of sync_requests": (
        "state/test_poison_requests.py::test_any_rows_end_once_and_stop_nobody"
    ),
    "model/sync_request.py: messages of NATS": (
        "state/test_poison_requests.py::test_any_messages_end_once_and_stop_nobody"
    ),
    "model/events.py: dead letters": (
        "messaging/test_requests.py::test_a_dead_letter_of_any_bytes_can_be_stored"
    ),
    "settings.py: the environment": (
        "test_any_setting.py::test_any_value_is_read_or_refused_by_its_variable"
    ),
    "settings.py: cron expressions": (
        "automation/test_cron_times.py::test_a_cron_is_accepted_if_it_is_ever_due"
    ),
}
"""By the module and what it reads: the file and the name of the test."""
