"""The answers of the web server before WordPress: redirects and pages of errors."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from connector_pipeline.sandbox.shops.shop import SandboxShop

_NGINX: Final = "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"  # noqa: E501


def moved(shop: SandboxShop, request: Request) -> Response | None:
    """A redirect to the shop's own host name, None if the request came under that name."""
    home = shop.spec.home_host
    if not home or request.url.hostname == home:
        return None
    port = "" if request.url.port is None else f":{request.url.port}"
    headers = {"Location": str(request.url.replace(netloc=home + port))}
    return Response(_NGINX.format("301 Moved Permanently"), 301, headers, "text/html")


def error_page(title: str, status: int) -> Response:
    """nginx's own page of an error."""
    return Response(_NGINX.format(title), status, media_type="text/html")
