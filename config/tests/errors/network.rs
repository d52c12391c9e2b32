//! Addresses of listeners, and who may reach the admin one.

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
