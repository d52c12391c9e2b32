//! Which requests a route is for, and which service it leads to.

use crate::check;

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
