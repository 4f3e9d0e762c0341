"""The gate refuses what a foreign web page can make a browser send, and nothing else."""

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.routing import Match, Route

from connector_pipeline.ui.gate import Gate, objection_to

OWN = "localhost:3000"
PAGE = {"Origin": f"http://{OWN}", "Sec-Fetch-Site": "same-origin"}
JSON = {"Content-Type": "application/json"}
MUTATION = "mutation { launchRun { __typename } }"


def scope(
    method: str = "GET",
    path: str = "/",
    query: str = "",
    *headers: tuple[str, str],
    host: str | None = OWN,
) -> dict[str, Any]:
    """A request as the server hands it on. The method `WS` opens a WebSocket."""
    named = [*([] if host is None else [("Host", host)]), *headers]
    request: dict[str, Any] = {
        "type": "websocket" if method == "WS" else "http",
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("utf-8")) for name, value in named],
        "server": ("10.1.2.3", 3000),
    }
    return request if method == "WS" else {**request, "method": method}


def status(*request: Any, names: tuple[str, ...] = (), **more: Any) -> int | None:
    """The status with which the request is refused, None if it is not."""
    objection = objection_to(scope(*request, **more), names)
    return None if objection is None else objection.status


def test_the_ui_itself_is_served() -> None:
    """Its pages, its queries, its mutations, its live logs; and programs that send no Origin."""
    for headers in ({}, PAGE):
        assert status("GET", "/runs", "q=mutation", *headers.items()) is None
        assert status("GET", "/_next/static/main.js", "", *headers.items()) is None
        assert status("HEAD", "/", "", *headers.items()) is None
        assert status("POST", "/graphql", "", *(JSON | headers).items()) is None
        assert status("WS", "/graphql", "", *headers.items()) is None
        assert status("GET", "/graphql", "query={version}", *headers.items()) is None
    typed = {"Content-Type": 'Application/JSON ; charset="utf-8"'}
    assert status("POST", "/graphql", "", *typed.items()) is None
    assert status("POST", "/report_asset_check/catalog_items", "", *JSON.items()) is None


@pytest.mark.parametrize("method", ["GET", "POST", "WS"])
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:3000",
        "localhost.evil.example:3000",
        "127.0.0.1.evil.example",
        "0.0.0.0:3000",
        "10.1.2.4:3000",
        "",
        "localhost:3000,evil.example",
        "user@localhost",
        None,
    ],
)
def test_a_name_that_somebody_led_here_is_refused(method: str, host: str | None) -> None:
    """DNS rebinding: the page is of that name, so its Origin is the Host."""
    own = (("Origin", f"http://{host}"), ("Sec-Fetch-Site", "same-origin"))
    assert status(method, "/graphql", "", *JSON.items(), *own, host=host) == 403


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:9", "[::1]:3000", "10.1.2.3:3000", "ui.example:8443"]
)
def test_this_machine_and_the_names_of_the_setting_are_served(host: str) -> None:
    """At any port: a tunnel or a proxy may have another than ours."""
    assert status(host=host, names=("ui.example",)) is None
    headers = (*JSON.items(), ("Origin", f"https://{host}"))
    assert status("POST", "/graphql", "", *headers, host=host, names=("ui.example",)) is None


@pytest.mark.parametrize("method", ["GET", "POST", "WS"])
@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://localhost:3001",
        "http://localhost",
        "http://127.0.0.1:3000",
        "https://localhost:3000.evil.example",
        "null",
        "",
        "file://",
        "chrome-extension://abcdefgh",
        "http://localhost:3000, http://evil.example",
    ],
)
def test_a_page_of_another_origin_is_refused(method: str, origin: str) -> None:
    """Also one on this machine at another port, and one without an address."""
    assert status(method, "/graphql", "", *JSON.items(), ("Origin", origin)) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "none, cross-site", "None"])
def test_what_a_foreign_page_embeds_is_refused(site: str) -> None:
    """An image, a script, a frame, a form without an Origin: nothing but a link."""
    for dest, mode in (("image", "no-cors"), ("iframe", "navigate"), ("object", "navigate")):
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
        assert status("GET", "/overview", "", *headers.items()) == 403
    form = {
        "Sec-Fetch-Site": site,
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    assert status("POST", "/graphql", "", *(JSON | form).items()) == 403
    assert status("WS", "/graphql", "", ("Sec-Fetch-Site", site)) == 403


def test_a_link_of_a_foreign_page_leads_to_the_ui() -> None:
    """People follow links from alerts and chats; one that carries a mutation is refused."""
    link = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    assert status("GET", "/runs/1", "", *link.items()) is None
    assert status("GET", "/graphql", f"query={quote(MUTATION)}", *link.items()) == 405


@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/dagster/graphql"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("query", "refused"),
    [
        (f"query={quote(MUTATION)}", 405),
        (f"query={MUTATION.replace(' ', '+')}", 405),
        ("%71uery=mutation{a}", 405),
        ("query={a}&query=mutation{a}", 405),
        ("query=mutation{a}&query={a}", 405),
        (f"query={quote('query A {a} mutation B {a}')}&operationName=A", 405),
        (f"query={quote('query A {a} mutation B {a}')}&operationName=B", 405),
        (f"query={quote('fragment F on Mutation {a} mutation {...F}')}", 405),
        ("query=subscription{a}", 405),
        (f"query={quote('# {a}' + chr(10) + 'mutation {a}')}", 405),
        (f"query={quote(chr(0xFEFF) + 'mutation {a}')}", 405),
        ("query=", 400),
        ("query=mutation", 400),
        (f"query={quote('{' * 20_000)}", 400),
        ("query=%FF%FE", 400),
    ],
)
def test_a_link_carries_no_mutation(path: str, method: str, query: str, refused: int) -> None:
    """However it is written, and whichever operation of it would be executed."""
    assert status(method, path, query) == refused


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("route", ["/graphql", "/notebook", "/dagit/notebook"])
@pytest.mark.parametrize("before", ["", "/dagster"])
@given(
    after=st.text(
        st.characters(codec="utf-8") | st.sampled_from("\n\r\v\0/ \x85\u2028"), max_size=3
    )
)
@example(after="\n")
@example(after="/\n")
def test_no_other_spelling_of_a_path_leads_past_the_gate(
    method: str, route: str, before: str, after: str
) -> None:
    """The router takes a path that ends in a line feed for the same path without it."""
    path = f"{before}{route}{after}"
    routed = Route(route, endpoint=Gate, methods=["GET", "POST"])
    found, _ = routed.matches(scope(method, path.removeprefix(before)))
    if found is Match.FULL:
        assert status(method, path, "query=mutation{a}&path=/tmp/x.ipynb") in {400, 404, 405}


@pytest.mark.parametrize(
    "path", ["/graphql\n", "/dagster/graphql\n", "/notebook\n", "/runs\0", "/assets/\x1b[2J"]
)
def test_no_path_has_a_control_character(path: str) -> None:
    """By whichever method it comes."""
    assert status("GET", path, f"query={quote(MUTATION)}") == 400
    assert status("POST", path, "", *JSON.items()) == 400


@pytest.mark.parametrize("path", ["/graphql", "/report_asset_materialization/raw_products", "/"])
@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "text/plain; x=application/json",
        "text/plain;application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        "application/graphql",
        "application/jsonp",
        "application/json, text/plain",
        "application/json\u00a0",
    ],
)
def test_a_body_that_any_page_may_send_unasked_is_refused(
    path: str, content_type: str | None
) -> None:
    """Dagster looks for `application/json` anywhere in the header, and takes the rest as it is."""
    headers = [] if content_type is None else [("Content-Type", content_type)]
    assert status("POST", path, "query=mutation{a}", *headers) == 415


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "get"])
def test_other_methods_are_refused(method: str) -> None:
    """No page is allowed to send JSON, for which its browser asks by OPTIONS."""
    assert status(method, "/graphql", "", *JSON.items()) == 405


@pytest.mark.parametrize("name", ["Host", "Origin", "Content-Type", "Sec-Fetch-Site"])
def test_a_header_that_came_twice_is_refused(name: str) -> None:
    """The gate and the server behind it might believe different ones."""
    headers = {"Origin": f"http://{OWN}", "Sec-Fetch-Site": "same-origin"} | JSON
    again = (name, headers.get(name, OWN))
    assert status("POST", "/graphql", "", *headers.items()) is None
    assert status("POST", "/graphql", "", *headers.items(), again) == 400


@pytest.mark.parametrize("path", ["/notebook", "/dagit/notebook", "/dagster/notebook/"])
def test_no_notebook_is_read_for_the_ui(path: str) -> None:
    """Dagster would read any of the code server's, by its path, and show its HTML as the UI's."""
    assert status("GET", path, "repoLocName=connector_pipeline&path=/tmp/x.ipynb") == 404


@given(
    st.sampled_from(["GET", "POST", "WS"]),
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n")),
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n")),
)
def test_no_header_ends_the_server(method: str, host: str, origin: str) -> None:
    """An objection is a short text of what can be printed."""
    objection = objection_to(scope(method, "/", "", ("Origin", origin), host=host), ())
    assert objection is not None
    assert objection.reason.isprintable()
    assert len(objection.reason) < 600


async def test_every_answer_forbids_frames_and_keeps_the_policy_it_had() -> None:
    """A person must not click on "Launch run" in a frame that a page made invisible."""

    async def web_server(_: Any, receive: Any, send: Any) -> None:
        theirs = [(b"content-security-policy", b"object-src 'none'"), (b"Referrer-Policy", b"x")]
        await send({"type": "http.response.start", "status": 200, "headers": theirs})

    for request in (scope(), scope(host="evil.example")):
        sent: list[dict[str, Any]] = []

        async def send(message: Any, sent: list[dict[str, Any]] = sent) -> None:
            sent.append(message)

        await Gate(web_server)(request, send, send)
        headers: list[tuple[bytes, bytes]] = sent[0]["headers"]
        assert (b"content-security-policy", b"frame-ancestors 'none'") in headers
        assert (b"x-frame-options", b"DENY") in headers
        assert (b"x-content-type-options", b"nosniff") in headers
        if sent[0]["status"] == 200:
            assert (b"content-security-policy", b"object-src 'none'") in headers
            assert [value for name, value in headers if name.lower() == b"referrer-policy"] == [
                b"x"
            ]
        else:
            assert b"not served under the host 'evil.example'" in sent[1]["body"]
