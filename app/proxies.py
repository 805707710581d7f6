"""Who asks, and under which host, when a load balancer stands in between.

Headers that a client can write itself are believed only as far as configured:
`X-Forwarded-For` and `-Proto` up to the number of trusted proxies, which append
to them; the host only when it is one of the service's own.
"""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix


class PublicHost:
    """Lets the service be known by the given hosts only, in links for instance.

    `X-Forwarded-Host` is taken when it names one of them; a request under any other
    host (a health check under the task's address) is served under the first.
    """

    def __init__(self, app: WSGIApplication, hosts: tuple[str, ...]) -> None:
        self._app = app
        self._hosts = hosts

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        named = (environ.get("HTTP_X_FORWARDED_HOST"), environ.get("HTTP_HOST"))
        environ["HTTP_HOST"] = next((host for host in named if host in self._hosts), self._hosts[0])
        return self._app(environ, start_response)


def init_app(app: Flask, trusted_proxies: int, public_hosts: tuple[str, ...]) -> None:
    """Put what is configured before the application."""
    if public_hosts:
        app.wsgi_app = PublicHost(app.wsgi_app, public_hosts)  # type: ignore[method-assign]
    if trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=trusted_proxies, x_proto=trusted_proxies, x_host=0
        )
