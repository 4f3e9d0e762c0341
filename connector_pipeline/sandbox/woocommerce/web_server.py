"""The answers beside the REST API: redirects, pages of errors, and the home page."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from connector_pipeline.sandbox.shops.shop import SandboxShop

_NGINX: Final = "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"  # noqa: E501

_HOME: Final = (
    '<!DOCTYPE html>\n<html lang="en-US">\n<head>\n<title>Shop</title>\n'
    '<link rel="https://api.w.org/" href="{0}" />\n</head>\n<body></body>\n</html>\n'
)


def moved(shop: SandboxShop, request: Request) -> Response | None:
    """A redirect to the shop's own host name, None if the request came under that name."""
    home = shop.spec.home_host
    if not home or request.url.hostname == home:
        return None
    port = "" if request.url.port is None else f":{request.url.port}"
    return redirect_to(str(request.url.replace(netloc=home + port)))


def redirect_to(location: str) -> Response:
    """nginx's own redirect."""
    page = _NGINX.format("301 Moved Permanently")
    return Response(page, 301, {"Location": location}, "text/html")


def home_page(home: str, *, plain_permalinks: bool) -> Response:
    """WordPress's home page, which says where its REST API is."""
    root = f"{home}/index.php?rest_route=/" if plain_permalinks else f"{home}/wp-json/"
    headers = {"Link": f'<{root}>; rel="https://api.w.org/"'}
    return Response(_HOME.format(root), 200, headers, "text/html")


def error_page(title: str, status: int) -> Response:
    """nginx's own page of an error."""
    return Response(_NGINX.format(title), status, media_type="text/html")
