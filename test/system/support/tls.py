"""Certificates made for one test."""

import subprocess
from pathlib import Path

EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


def make_ca(folder: Path, name: str) -> Path:
    """A self-signed authority; its key lies beside it."""
    pem = folder / f"{name}.pem"
    openssl("req", "-x509", *EC, "-keyout", pem.with_suffix(".key"), "-out", pem, "-subj", f"/CN={name}", "-days", 2)
    return pem


def make_certificate(ca: Path, name: str, hosts: str) -> Path:
    """A server's certificate of that authority, for hosts like "DNS:localhost,IP:127.0.0.1"."""
    pem, request, extra = (ca.parent / f"{name}.{kind}" for kind in ("pem", "csr", "ext"))
    extra.write_text(f"subjectAltName={hosts}\n")
    openssl("req", *EC, "-keyout", pem.with_suffix(".key"), "-out", request, "-subj", f"/CN={name}")
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca.with_suffix(".key"), "-CAcreateserial",
            "-out", pem, "-days", 2, "-extfile", extra)
    return pem
