//! Listeners, the admin listener, routes and endpoints.

use crate::check;

#[test]
fn addresses_are_exact() {
    check(
        r##"
[listener.a]
address = ":8080"
[listener.b]
address = "127.0.0.1"
[listener.c]
address = "localhost:80"
[service.shop.stable]
endpoints = ["http://app:80/x", "app", "app:0", "app:99999", "[::1]:80", "a b:1"]
[service.bag.stable]
endpoints = []
"##,
        r##"
s.toml:2:11: ":8080" is not an address to listen on
  2 | address = ":8080"
    |           ^^^^^^^
    = help: write "0.0.0.0:8080" for every address of the machine

s.toml:4:11: "127.0.0.1" is not an address to listen on
  4 | address = "127.0.0.1"
    |           ^^^^^^^^^^^
    = help: add a port: "127.0.0.1:8080"

s.toml:6:11: "localhost:80" is not an address to listen on
  6 | address = "localhost:80"
    |           ^^^^^^^^^^^^^^
    = help: write an IP address and a port: "0.0.0.0:8080" or "[::]:8080"

s.toml:8:14: "http://app:80/x" is not an endpoint
  8 | endpoints = ["http://app:80/x", "app", "app:0", "app:99999", "[::1]:80", "a b:1"]
    |              ^^^^^^^^^^^^^^^^^
    = help: leave out scheme and path: "app:80"

s.toml:8:33: "app" is not an endpoint
  8 | endpoints = ["http://app:80/x", "app", "app:0", "app:99999", "[::1]:80", "a b:1"]
    |                                 ^^^^^
    = help: add a port: "app:80"

s.toml:8:40: "app:0" is not an endpoint
  8 | endpoints = ["http://app:80/x", "app", "app:0", "app:99999", "[::1]:80", "a b:1"]
    |                                        ^^^^^^^
    = help: write host and port: "10.0.0.11:9000", "app.internal:80", "[::1]:80"

s.toml:8:49: "app:99999" is not an endpoint
  8 | endpoints = ["http://app:80/x", "app", "app:0", "app:99999", "[::1]:80", "a b:1"]
    |                                                 ^^^^^^^^^^^
    = help: write host and port: "10.0.0.11:9000", "app.internal:80", "[::1]:80"

s.toml:8:74: "a b:1" is not an endpoint
  8 | endpoints = ["http://app:80/x", "app", "app:0", "app:99999", "[::1]:80", "a b:1"]
    |                                                                          ^^^^^^^
    = help: write host and port: "10.0.0.11:9000", "app.internal:80", "[::1]:80"

s.toml:10:13: there is no endpoint
  10 | endpoints = []
     |             ^^
     = help: write at least one: ["10.0.0.11:9000"]
"##,
    );
}

#[test]
fn two_listeners_never_share_an_address() {
    check(
        r##"
[listener.a]
address = "0.0.0.0:8080"
[listener.b]
address = "127.0.0.1:8080"
[listener.c]
address = "127.0.0.1:9901"
[listener.d]
address = "127.0.0.1:0"
[listener.e]
address = "127.0.0.1:0"
"##,
        r##"
s.toml:4:11: 127.0.0.1:8080 is taken by listener 'a'
  4 | address = "127.0.0.1:8080"
    |           ^^^^^^^^^^^^^^^^
    = help: give each an address of its own

s.toml:6:11: 127.0.0.1:9901 is taken by [admin]
  6 | address = "127.0.0.1:9901"
    |           ^^^^^^^^^^^^^^^^
    = help: give each an address of its own
"##,
    );
}

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
fn the_admin_listener_wants_a_token_off_loopback() {
    check(
        r##"
[admin]
listen = "0.0.0.0:9901"
"##,
        r##"
s.toml:2:10: anybody who reaches 0.0.0.0:9901 could steer releases: no token
  2 | listen = "0.0.0.0:9901"
    |          ^^^^^^^^^^^^^^
    = help: add token = "..." (16 characters or more), or listen on 127.0.0.1
"##,
    );
    check(
        r##"
[admin]
listen = "0.0.0.0:9901"
token = "short"
"##,
        r##"
s.toml:3:9: a token has 16 visible ASCII characters or more
  3 | token = "short"
    |         ^^^^^^^
    = help: make one with `openssl rand -hex 24`
"##,
    );
    check(
        r##"
[admin]
listen = "0.0.0.0:9901"
token = "0123456789abcdef"
"##,
        r##"

"##,
    );
    check(
        r##"
[admin]
listen = "off"
"##,
        r##"

"##,
    );
}

#[test]
fn routes_lead_to_services_that_are_there() {
    check(
        r##"
[route.a]
service = "shpo"
[route.b]
path_prefix = "/b"
service = "elsewhere"
[route.c]
path_prefix = "/c"
"##,
        r##"
s.toml:2:11: there is no service 'shpo'
  2 | service = "shpo"
    |           ^^^^^^
    = help: did you mean 'shop'?

s.toml:5:11: there is no service 'elsewhere'
  5 | service = "elsewhere"
    |           ^^^^^^^^^^^
    = help: known services: shop

s.toml:6:1: missing key 'service' in [route.c]
  6 | [route.c]
    | ^^^^^^^^^
    = help: add service = ...: Name of the service that it leads to, or redirect = { ... }
"##,
    );
}

#[test]
fn two_routes_never_match_the_same() {
    check(
        r##"
[route.a]
hosts = ["x.org", "y.org"]
service = "shop"
[route.b]
hosts = ["z.org", "x.org"]
service = "shop"
[route.c]
path_prefix = "/c"
service = "shop"
[route.d]
path_prefix = "/c"
service = "shop"
[route.e]
service = "shop"
[route.f]
service = "shop"
"##,
        r##"
s.toml:5:19: routes 'a' and 'b' both match x.org with path prefix '/'
  5 | hosts = ["z.org", "x.org"]
    |                   ^^^^^^^
    = help: give one of them another host or path, or delete it

s.toml:11:15: routes 'c' and 'd' both match every host with path prefix '/c'
  11 | path_prefix = "/c"
     |               ^^^^
     = help: give one of them another host or path, or delete it

s.toml:15:1: routes 'e' and 'f' both match every host with path prefix '/'
  15 | [route.f]
     | ^^^^^^^^^
     = help: give one of them another host or path, or delete it
"##,
    );
}

#[test]
fn hosts_are_written_as_they_match() {
    check(
        r##"
[route.a]
service = "shop"
hosts = [
  "shop.example.com:8080",
  "Shop.Example.com",
  "*",
  "www.*.com",
  "*example.com",
  "https://example.com",
  "example.com.",
  "",
  "bücher.de",
  "[::1]",
]
[route.b]
hosts = []
service = "shop"
[route.c]
hosts = ["c.org", "c.org"]
service = "shop"
[route.d]
path_prefix = "api"
service = "shop"
[route.e]
path_prefix = "/e*"
service = "shop"
"##,
        r##"
s.toml:4:3: "shop.example.com:8080" has a port
  4 |   "shop.example.com:8080",
    |   ^^^^^^^^^^^^^^^^^^^^^^^
    = help: every port matches; write "shop.example.com"

s.toml:5:3: "Shop.Example.com" would never match as it is written
  5 |   "Shop.Example.com",
    |   ^^^^^^^^^^^^^^^^^^
    = help: write "shop.example.com"

s.toml:6:3: "*" is not a host
  6 |   "*",
    |   ^^^
    = help: leave out 'hosts' to match every host

s.toml:7:3: bad wildcard in "www.*.com"
  7 |   "www.*.com",
    |   ^^^^^^^^^^^
    = help: a '*' stands in front of a whole name: "*.example.com"

s.toml:8:3: bad wildcard in "*example.com"
  8 |   "*example.com",
    |   ^^^^^^^^^^^^^^
    = help: a '*' stands in front of a whole name: "*.example.com"

s.toml:9:3: "https://example.com" is not a host
  9 |   "https://example.com",
    |   ^^^^^^^^^^^^^^^^^^^^^
    = help: write a name alone: "shop.example.com" or "*.example.com"

s.toml:10:3: "example.com." would never match as it is written
  10 |   "example.com.",
     |   ^^^^^^^^^^^^^^
     = help: write "example.com"

s.toml:11:3: "" is not a host
  11 |   "",
     |   ^^
     = help: write a name alone: "shop.example.com" or "*.example.com"

s.toml:12:3: "bücher.de" has letters that no Host header has
  12 |   "bücher.de",
     |   ^^^^^^^^^^^
     = help: write international names as they travel: "xn--..."

s.toml:16:9: no host matches an empty list
  16 | hosts = []
     |         ^^
     = help: leave out 'hosts' to match every host

s.toml:19:19: "c.org" is here twice
  19 | hosts = ["c.org", "c.org"]
     |                   ^^^^^^^
     = help: keep one of the two

s.toml:22:15: path "api" does not begin with '/'
  22 | path_prefix = "api"
     |               ^^^^^
     = help: write "/api"

s.toml:25:15: path "/e*" has a '*'
  25 | path_prefix = "/e*"
     |               ^^^^^
     = help: write the start of a path alone; what is below it matches, too
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

#[test]
fn resources_are_told_in_one_way_for_each_variant() {
    check(
        r##"
[service.shop.stable]
endpoints = ["app:80"]
[service.shop.resources]
cgroup = { stable = "/sys/fs/cgroup/shop" }
pid_file = { stable = "/run/shop.pid", canry = "x" }
[service.shop.resources.names]
cpu = "cpu{mode=\"user\"}"
[service.bag.stable]
endpoints = ["app:80"]
[service.bag.resources]
cgroup = { canary = "a" }
pid_file = { canary = "b" }
"##,
        r##"
s.toml:5:1: this variant has a cgroup already
  5 | pid_file = { stable = "/run/shop.pid", canry = "x" }
    | ^^^^^^^^
    = help: name a cgroup or a pid_file for a variant, not both

s.toml:5:40: unknown key 'canry' in [service.shop.resources.pid_file]
  5 | pid_file = { stable = "/run/shop.pid", canry = "x" }
    |                                        ^^^^^
    = help: did you mean 'canary'?

s.toml:7:7: "cpu{mode=\"user\"}" cannot be the name of a series
  7 | cpu = "cpu{mode=\"user\"}"
    |       ^^^^^^^^^^^^^^^^^^^^
    = help: write the name alone, without labels: "process_cpu_seconds_total"

s.toml:12:1: this variant has a cgroup already
  12 | pid_file = { canary = "b" }
     | ^^^^^^^^
     = help: name a cgroup or a pid_file for a variant, not both
"##,
    );
}
