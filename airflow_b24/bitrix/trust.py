"""Whom we trust on the way to a portal: certificate authorities, and a proxy only when asked. Never no authority."""

from __future__ import annotations

import os
import ssl
from urllib.request import getproxies, proxy_bypass

import certifi

from airflow_b24.bitrix.auth import Origin


def tls_context(ca_bundle: str | None, *, trust_env: bool) -> ssl.SSLContext:
    """Return a context which verifies; `ca_bundle` (a path, or PEM text) is trusted beside the public authorities.

    Raises ValueError naming the field when the bundle cannot be read.
    """
    public = os.environ.get("SSL_CERT_FILE") if trust_env else None
    context = ssl.create_default_context(cafile=public or certifi.where())
    if ca_bundle is None:
        return context
    try:
        if "-----BEGIN" in ca_bundle:
            context.load_verify_locations(cadata=ca_bundle)
        else:
            context.load_verify_locations(cafile=ca_bundle)
    except (OSError, ValueError):
        raise ValueError("ca_bundle: no certificate can be read; give the path of a PEM file, or its text") from None
    return context


def proxy_url(origin: Origin, *, trust_env: bool) -> str | None:
    """Return the environment's proxy for a portal, when it is to be trusted; never one for this machine itself."""
    if not trust_env or origin.scheme != "https" or proxy_bypass(origin.host):
        return None
    proxies = getproxies()
    proxy = proxies.get("https") or proxies.get("all")
    if proxy and not proxy.startswith(("http://", "https://")):
        raise ValueError("trust_env: only http and https proxies are supported; unset it, or change HTTPS_PROXY")
    return proxy
