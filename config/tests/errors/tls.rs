//! TLS on listeners and towards endpoints.

use crate::check;

#[test]
fn certificates_come_with_keys() {
    check(
        r##"
[listener.web]
address = "0.0.0.0:8443"
[[listener.web.certificate]]
cert = "shop.pem"
[[listener.web.certificate]]
key = ""
[listener.more]
address = "0.0.0.0:8444"
certificate = []
"##,
        r##"
s.toml:3:1: missing key 'key' in [listener.web.certificate]
  3 | [[listener.web.certificate]]
    | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    = help: add key = ...: Path of the certificate's private key, PEM

s.toml:5:1: missing key 'cert' in [listener.web.certificate]
  5 | [[listener.web.certificate]]
    | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    = help: add cert = ...: Path of the certificate chain, PEM

s.toml:6:7: an empty path
  6 | key = ""
    |       ^^
    = help: write where it is, like "certs/shop.pem"

s.toml:9:15: there is no certificate
  9 | certificate = []
    |               ^^
    = help: leave it out for plain HTTP
"##,
    );
}

#[test]
fn tls_and_what_goes_with_it_is_for_listeners_with_a_certificate_and_the_rest_for_those_without() {
    check(
        r##"
[listener.plain]
address = "0.0.0.0:80"
https_redirect = 70000
[listener.plain.tls]
min_version = "1.3"
[listener.encrypted]
address = "0.0.0.0:443"
certificate = [{ cert = "a.pem", key = "a.key" }]
https_redirect = true
h2c = true
[listener.encrypted.tls]
min_version = "1.1"
alpn = ["h2", "spdy"]
hsts = { preload = true }
[listener.more]
address = "0.0.0.0:444"
certificate = [{ cert = "a.pem", key = "a.key" }]
tls = { alpn = [], client_certificate = { mode = "maybe" } }
"##,
        r##"
s.toml:3:18: that is not a port
  3 | https_redirect = 70000
    |                  ^^^^^
    = help: write the port of the TLS listener as clients see it, from 1 to 65535

s.toml:4:1: 'tls' on a listener without certificate
  4 | [listener.plain.tls]
    | ^^^^^^^^^^^^^^^^^^^^
    = help: add [[listener.NAME.certificate]] with cert and key, or acme = [NAME] here, or leave it out

s.toml:9:1: 'https_redirect' on a TLS listener
  9 | https_redirect = true
    | ^^^^^^^^^^^^^^
    = help: leave it out: who comes here has come over HTTPS

s.toml:10:1: 'h2c' on a TLS listener
  10 | h2c = true
     | ^^^
     = help: leave it out: over TLS, HTTP/2 is offered by tls.alpn

s.toml:12:15: TLS "1.1" is not spoken
  12 | min_version = "1.1"
     |               ^^^^^
     = help: write "1.2" or "1.3"

s.toml:13:15: there is no choice "spdy" here
  13 | alpn = ["h2", "spdy"]
     |               ^^^^^^
     = help: write "h2" or "http/1.1"

s.toml:18:16: no protocol is offered
  18 | tls = { alpn = [], client_certificate = { mode = "maybe" } }
     |                ^^
     = help: leave it out, or write ["http/1.1"]

s.toml:18:41: missing key 'ca' in [listener.more.tls.client_certificate]
  18 | tls = { alpn = [], client_certificate = { mode = "maybe" } }
     |                                         ^^^^^^^^^^^^^^^^^^
     = help: add ca = ...: Path of the authorities, PEM, that may have signed them

s.toml:18:50: there is no choice "maybe" here
  18 | tls = { alpn = [], client_certificate = { mode = "maybe" } }
     |                                                  ^^^^^^^
     = help: write "required" or "optional"
"##,
    );
}

#[test]
fn what_is_said_of_tls_towards_endpoints_must_be_complete_and_agree() {
    check(
        r##"
[service.a]
tls = true
stable = { endpoints = ["10.0.0.1:443", "10.0.0.2:443"] }
[service.b]
protocol = "h2"
stable = { endpoints = ["b.internal:443"] }
[service.c]
tls = { client_cert = "edge.pem", sni = "https://c" }
stable = { endpoints = ["c.internal:443"] }
[service.d]
tls = "yes"
stable = { endpoints = ["d.internal:443"] }
[service.e]
tls = true
protocol = "h3"
stable = { endpoints = ["e.internal:443"], protocol = "h2c" }
[probe.g]
service = "b"
step = [{ get = "/", expect = { certificate_days_left = 14 } }]
[route.all]
service = "a"
"##,
        r##"
s.toml:2:7: which name shall certificates carry: "10.0.0.1" or "10.0.0.2"?
  2 | tls = true
    |       ^^^^
    = help: the endpoints have different hosts; add sni = "...", the name in the certificate

s.toml:5:12: "h2" is HTTP/2 over TLS
  5 | protocol = "h2"
    |            ^^^^
    = help: add tls = true, or write "h2c" for HTTP/2 without TLS

s.toml:8:7: 'client_cert' without 'client_key'
  8 | tls = { client_cert = "edge.pem", sni = "https://c" }
    |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    = help: a certificate and its key go together: name the files of both

s.toml:8:41: "https://c" is not the name of a server
  8 | tls = { client_cert = "edge.pem", sni = "https://c" }
    |                                         ^^^^^^^^^^^
    = help: write the name alone, as the certificate has it: "app.internal"

s.toml:11:7: expected true or a table, found a string
  11 | tls = "yes"
     |       ^^^^^
     = help: write true, or how: { sni = "app.internal", ca = "certs/internal.pem" }

s.toml:15:12: there is no choice "h3" here
  15 | protocol = "h3"
     |            ^^^^
     = help: write "http1" or "h2" or "h2c"

s.toml:16:55: "h2c" is HTTP/2 without TLS
  16 | stable = { endpoints = ["e.internal:443"], protocol = "h2c" }
     |                                                       ^^^^^
     = help: write "h2" for HTTP/2 over TLS, or leave 'tls' out

s.toml:19:33: there is no certificate: the service speaks no TLS
  19 | step = [{ get = "/", expect = { certificate_days_left = 14 } }]
     |                                 ^^^^^^^^^^^^^^^^^^^^^
     = help: add tls = true to [service.b], or leave it out
"##,
    );
}
