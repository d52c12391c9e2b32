//! `[acme]` and `[otlp]`.

use crate::{check, check_alone};

const REST: &str =
    "[route.all]\nservice = \"shop\"\n[service.shop.stable]\nendpoints = [\"app:80\"]\n";

#[test]
fn a_ca_wants_a_yes_and_is_asked_over_tls() {
    check(
        r##"
[acme]
email = "mailto:ops@example.com"
directory = "http://ca.internal/dir"
challenge = "dns-01"
accept_terms = false
"##,
        r##"
s.toml:2:9: "mailto:ops@example.com" is not an address for mail
  2 | email = "mailto:ops@example.com"
    |         ^^^^^^^^^^^^^^^^^^^^^^^^
    = help: write one alone, without "mailto:": "ops@example.com"

s.toml:4:13: names are not proved by DNS here
  4 | challenge = "dns-01"
    |             ^^^^^^^^
    = help: write "tls-alpn-01" or "http-01"

s.toml:5:16: without that the CA issues nothing
  5 | accept_terms = false
    |                ^^^^^
    = help: read what the CA asks of you, then write true; or leave out [acme]
"##,
    );
    check(
        r##"
[acme]
accept_terms = true
directory = "http://ca.internal/dir"
"##,
        r##"
s.toml:3:13: "http://ca.internal/dir" would be asked without TLS
  3 | directory = "http://ca.internal/dir"
    |             ^^^^^^^^^^^^^^^^^^^^^^^^
    = help: ACME is spoken over https; for a CA of your own, name its authority in 'ca'
"##,
    );
    check(
        r##"
[acme]
directory = "ca.internal/dir"
"##,
        r##"
s.toml:1:1: missing key 'accept_terms' in [acme]
  1 | [acme]
    | ^^^^^^
    = help: add accept_terms = ...: true: you have read the CA's terms of service and agree to them

s.toml:2:13: "ca.internal/dir" is not a URL over http or https
  2 | directory = "ca.internal/dir"
    |             ^^^^^^^^^^^^^^^^^
    = help: write it as a browser would take it: "https://host.example.com/path"
"##,
    );
}

#[test]
fn an_external_account_has_a_name_and_a_key() {
    check(
        r##"
[acme]
accept_terms = true
eab_key_id = "kid-1"
"##,
        r##"
s.toml:3:14: the name of a key, but no key
  3 | eab_key_id = "kid-1"
    |              ^^^^^^^
    = help: add eab_key_file = "FILE" with the key that belongs to it
"##,
    );
    check(
        r##"
[acme]
accept_terms = true
eab_key_file = "eab.key"
"##,
        r##"
s.toml:3:16: a key without its name
  3 | eab_key_file = "eab.key"
    |                ^^^^^^^^^
    = help: add eab_key_id = "...", as the CA shows it beside the key
"##,
    );
    check(
        r##"
[acme]
accept_terms = true
eab_key_id = "kid 1"
eab_key_file = "eab.key"
"##,
        r##"
s.toml:3:14: "kid 1" is no name of a key
  3 | eab_key_id = "kid 1"
    |              ^^^^^^^
    = help: write it as the CA shows it, without spaces
"##,
    );
}

#[test]
fn names_are_those_that_a_ca_can_see() {
    check(
        r##"
[acme]
accept_terms = true
[listener.tls]
address = "0.0.0.0:443"
[listener.tls.tls]
acme = ["*.example.com", "Shop.example.com", "192.0.2.1", "a_b.example.com", "https://example.com"]
[listener.more]
address = "0.0.0.0:444"
tls = { acme = [] }
[listener.twice]
address = "0.0.0.0:445"
tls = { acme = ["a.example.com", "a.example.com"] }
"##,
        r##"
s.toml:6:9: "*.example.com" cannot be asked for: the CA proves wildcards by DNS
  6 | acme = ["*.example.com", "Shop.example.com", "192.0.2.1", "a_b.example.com", "https://example.com"]
    |         ^^^^^^^^^^^^^^^
    = help: list each name, like "www.example.com", or use a certificate of files

s.toml:6:26: "Shop.example.com" would never match as it is written
  6 | acme = ["*.example.com", "Shop.example.com", "192.0.2.1", "a_b.example.com", "https://example.com"]
    |                          ^^^^^^^^^^^^^^^^^^
    = help: write "shop.example.com"

s.toml:6:46: "192.0.2.1" is an address
  6 | acme = ["*.example.com", "Shop.example.com", "192.0.2.1", "a_b.example.com", "https://example.com"]
    |                                              ^^^^^^^^^^^
    = help: write a name, or use a certificate of files

s.toml:6:59: "a_b.example.com" is no name of a host
  6 | acme = ["*.example.com", "Shop.example.com", "192.0.2.1", "a_b.example.com", "https://example.com"]
    |                                                           ^^^^^^^^^^^^^^^^^
    = help: no CA issues for a name with '_': use another one

s.toml:6:78: "https://example.com" is not a host
  6 | acme = ["*.example.com", "Shop.example.com", "192.0.2.1", "a_b.example.com", "https://example.com"]
    |                                                                              ^^^^^^^^^^^^^^^^^^^^^
    = help: write a name alone: "shop.example.com" or "*.example.com"

s.toml:9:16: no certificate is asked for
  9 | tls = { acme = [] }
    |                ^^
    = help: write the names, ["shop.example.com"], or leave it out

s.toml:12:34: "a.example.com" is here twice
  12 | tls = { acme = ["a.example.com", "a.example.com"] }
     |                                  ^^^^^^^^^^^^^^^
     = help: keep one of the two
"##,
    );
}

#[test]
fn names_need_a_ca_and_a_place_where_it_can_look() {
    let names = "[listener.tls]\naddress = \"0.0.0.0:443\"\ntls = { acme = [\"a.example.com\"] }\n";
    check_alone(
        &format!("{names}{REST}"),
        r##"
s.toml:3:16: nobody is asked for these certificates
  3 | tls = { acme = ["a.example.com"] }
    |                ^^^^^^^^^^^^^^^^^
    = help: add [acme] with accept_terms = true: it says which CA is asked, and how
"##,
    );
    check_alone(
        &format!("{names}[acme]\naccept_terms = true\nchallenge = \"http-01\"\n{REST}"),
        r##"
s.toml:4:1: there is no listener on which the CA could ask by "http-01"
  4 | [acme]
    | ^^^^^^
    = help: add a listener without TLS (port 80 from outside), or write challenge = "tls-alpn-01"
"##,
    );
    check(
        r##"
[acme]
accept_terms = true
[listener.tls]
address = "0.0.0.0:443"
[listener.tls.tls]
acme = ["a.example.com"]
[listener.tls.tls.client_certificate]
ca = "clients.pem"
"##,
        r##"
s.toml:6:8: the CA has no client certificate: it could never see these names
  6 | acme = ["a.example.com"]
    |        ^^^^^^^^^^^^^^^^^
    = help: write challenge = "http-01" under [acme], or mode = "optional" here
"##,
    );
    check_alone(&format!("{names}[acme]\naccept_terms = true\n{REST}"), "");
    check(
        r##"
[acme]
accept_terms = true
"##,
        r##"
s.toml:1:1: no listener lists a name under tls.acme: the CA is never asked
"##,
    );
}

#[test]
fn a_collector_has_a_url_with_a_path() {
    check(
        r##"
[otlp]
endpoint = "http://127.0.0.1:4318"
service_name = ""
sample = 101
headers = { "a b" = "x" }
"##,
        r##"
s.toml:2:12: "http://127.0.0.1:4318" has no path
  2 | endpoint = "http://127.0.0.1:4318"
    |            ^^^^^^^^^^^^^^^^^^^^^^^
    = help: add the path: "http://127.0.0.1:4318/..."

s.toml:3:16: a name in traces has from 1 to 128 bytes on one line
  3 | service_name = ""
    |                ^^
    = help: write one like "edge-eu"

s.toml:4:10: a weight is a percentage from 0 to 100 in steps of 0.01, not 101
  4 | sample = 101
    |          ^^^
    = help: 100 is everybody

s.toml:5:13: "a b" cannot be the name of a header
  5 | headers = { "a b" = "x" }
    |             ^^^^^
    = help: write the name alone, without colon and spaces: "x-user-id"
"##,
    );
    check(
        r##"
[otlp]
endpoint = "http://127.0.0.1:4318/v1/traces"
ca = "ca.pem"
"##,
        r##"
s.toml:3:1: 'ca' where no TLS is spoken
  3 | ca = "ca.pem"
    | ^^
    = help: leave it out, or write https:// in 'endpoint'
"##,
    );
    check(
        r##"
[otlp]
"##,
        r##"
s.toml:1:1: missing key 'endpoint' in [otlp]
  1 | [otlp]
    | ^^^^^^
    = help: add endpoint = ...: Where traces are sent to, with the path: "http://127.0.0.1:4318/v1/traces"
"##,
    );
}
