//! What routes ask, and what they make of a request.

use crate::check;

#[test]
fn a_route_matches_one_kind_of_path() {
    check(
        r##"
[route.a]
path = "/a"
path_prefix = "/a"
service = "shop"
[route.b]
path_regex = "/b/[0-9"
service = "shop"
[route.c]
path = "c"
service = "shop"
"##,
        r##"
s.toml:3:1: 'path' and 'path_prefix' exclude each other
  3 | path_prefix = "/a"
    | ^^^^^^^^^^^
    = help: keep one of the two

s.toml:6:14: bad regular expression: unclosed character class
  6 | path_regex = "/b/[0-9"
    |              ^^^^^^^^^
    = help: '.' is any character, '\.' a dot; in TOML, 'single quotes' keep backslashes

s.toml:9:8: path "c" does not begin with '/'
  9 | path = "c"
    |        ^^^
    = help: write "/c"
"##,
    );
}

#[test]
fn conditions_are_ones_that_can_hold() {
    check(
        r##"
[route.a]
methods = ["get", "TRACE", "G T"]
service = "shop"
[route.b]
methods = []
service = "shop"
[route.c]
header = [{ name = "x-a", equals = "1", matches = "2" }, { name = "x b" }, { equals = "1" }]
service = "shop"
[route.d]
query = [{ name = "v", exist = true }]
service = "shop"
"##,
        r##"
s.toml:2:12: "get" would never match as it is written
  2 | methods = ["get", "TRACE", "G T"]
    |            ^^^^^
    = help: write "GET"

s.toml:2:19: TRACE requests are refused
  2 | methods = ["get", "TRACE", "G T"]
    |                   ^^^^^^^
    = help: leave it out

s.toml:2:28: "G T" is not a method
  2 | methods = ["get", "TRACE", "G T"]
    |                            ^^^^^
    = help: write one like "GET"

s.toml:5:11: no method matches an empty list
  5 | methods = []
    |           ^^
    = help: leave out 'methods' to match every method

s.toml:8:41: 'equals' and 'matches' exclude each other
  8 | header = [{ name = "x-a", equals = "1", matches = "2" }, { name = "x b" }, { equals = "1" }]
    |                                         ^^^^^^^
    = help: keep one of the two

s.toml:8:67: "x b" cannot be the name of a header
  8 | header = [{ name = "x-a", equals = "1", matches = "2" }, { name = "x b" }, { equals = "1" }]
    |                                                                   ^^^^^
    = help: write the name alone, without colon and spaces: "x-user-id"

s.toml:8:76: missing key 'name' in [route.c.header]
  8 | header = [{ name = "x-a", equals = "1", matches = "2" }, { name = "x b" }, { equals = "1" }]
    |                                                                            ^^^^^^^^^^^^^^^^
    = help: add name = ...: Its name

s.toml:11:24: unknown key 'exist' in [route.d.query]
  11 | query = [{ name = "v", exist = true }]
     |                        ^^^^^
     = help: did you mean 'exists'?
"##,
    );
}

#[test]
fn two_routes_that_ask_the_same_are_a_conflict_and_those_that_ask_more_are_not() {
    check(
        r##"
[route.a]
path = "/x"
methods = ["GET", "HEAD"]
header = [{ name = "x-a", equals = "1" }, { name = "x-b" }]
service = "shop"
[route.b]
path = "/x"
methods = ["HEAD"]
header = [{ name = "x-b" }, { name = "X-A", equals = "1" }]
service = "shop"
[route.c]
path = "/x"
methods = ["HEAD"]
header = [{ name = "x-b" }]
service = "shop"
[route.d]
path_regex = "/x"
service = "shop"
[route.e]
path_regex = "/x"
redirect = { host = "e.org" }
[route.f]
path_prefix = "/x"
service = "shop"
"##,
        r##"
s.toml:7:8: routes 'a' and 'b' both match every host with path '/x' under the same conditions
  7 | path = "/x"
    |        ^^^^
    = help: give one of them another host or path, or delete it

s.toml:20:14: routes 'd' and 'e' both match every host with path regex '/x'
  20 | path_regex = "/x"
     |              ^^^^
     = help: give one of them another host or path, or delete it
"##,
    );
}

#[test]
fn a_redirect_leads_somewhere_else() {
    check(
        r##"
[route.a]
path_prefix = "/a"
redirect = { status = 200, host = "https://x.org" }
[route.b]
path_prefix = "/b"
redirect = { status = 301 }
[route.c]
path_prefix = "/c"
service = "shop"
redirect = { host = "c.org" }
[route.d]
path = "/d"
redirect = { replace_prefix = "/" }
[route.e]
path_prefix = "/e"
redirect = { path = "/x", replace_prefix = "/y" }
[route.f]
path_prefix = "/f"
redirect = { scheme = "ftp" }
[route.g]
path_prefix = "/g"
redirect = { scheme = "https" }
strip_prefix = true
"##,
        r##"
s.toml:3:23: 200 sends nobody elsewhere
  3 | redirect = { status = 200, host = "https://x.org" }
    |                       ^^^
    = help: write 301 or 308 (for good), 302, 303 or 307 (for now)

s.toml:3:35: "https://x.org" is not a host
  3 | redirect = { status = 200, host = "https://x.org" }
    |                                   ^^^^^^^^^^^^^^^
    = help: write the name alone, without scheme, port and path: "www.example.com"

s.toml:6:12: clients would be sent where they came from
  6 | redirect = { status = 301 }
    |            ^^^^^^^^^^^^^^^^
    = help: add scheme, host, port, path or replace_prefix

s.toml:10:1: 'service' and 'redirect' exclude each other
  10 | redirect = { host = "c.org" }
     | ^^^^^^^^
     = help: keep one of the two

s.toml:13:14: path '/d' has no prefix to replace
  13 | redirect = { replace_prefix = "/" }
     |              ^^^^^^^^^^^^^^
     = help: give the route a path_prefix, or leave this out

s.toml:16:27: 'path' and 'replace_prefix' exclude each other
  16 | redirect = { path = "/x", replace_prefix = "/y" }
     |                           ^^^^^^^^^^^^^^
     = help: keep one of the two

s.toml:19:23: there is no choice "ftp" here
  19 | redirect = { scheme = "ftp" }
     |                       ^^^^^
     = help: write "https" or "http"

s.toml:20:1: route 'g' has a redirect: nobody sees 'strip_prefix'
  20 | [route.g]
     | ^^^^^^^^^
     = help: leave it out; redirect.replace_prefix changes where clients are sent
"##,
    );
}

#[test]
fn paths_and_headers_are_changed_where_that_makes_sense() {
    check(
        r##"
[route.a]
path = "/a"
service = "shop"
strip_prefix = true
[route.b]
path_prefix = "/b"
service = "shop"
strip_prefix = true
replace_prefix = "/c"
[route.c]
path_prefix = "/c"
service = "shop"
replace_prefix = "//evil.org"
[route.d]
path_prefix = "/d"
service = "shop"
request_headers = { set = { content-length = "1", x-a = "a\nb" }, remove = ["Transfer-Encoding"] }
response_headers = { add = { "x:y" = "1" } }
"##,
        r##"
s.toml:4:1: path '/a' has no prefix to replace
  4 | strip_prefix = true
    | ^^^^^^^^^^^^
    = help: give the route a path_prefix, or leave this out

s.toml:9:1: 'strip_prefix' and 'replace_prefix' exclude each other
  9 | replace_prefix = "/c"
    | ^^^^^^^^^^^^^^
    = help: keep one of the two

s.toml:13:18: two slashes would be the name of a host
  13 | replace_prefix = "//evil.org"
     |                  ^^^^^^^^^^^^
     = help: begin it with one '/'

s.toml:17:29: 'content-length' is the proxy's own business
  17 | request_headers = { set = { content-length = "1", x-a = "a\nb" }, remove = ["Transfer-Encoding"] }
     |                             ^^^^^^^^^^^^^^
     = help: leave it out: it frames the message, or belongs to one connection

s.toml:17:57: "a\nb" cannot be the value of a header
  17 | request_headers = { set = { content-length = "1", x-a = "a\nb" }, remove = ["Transfer-Encoding"] }
     |                                                         ^^^^^^
     = help: write visible ASCII, without spaces at its ends

s.toml:17:77: 'transfer-encoding' is the proxy's own business
  17 | request_headers = { set = { content-length = "1", x-a = "a\nb" }, remove = ["Transfer-Encoding"] }
     |                                                                             ^^^^^^^^^^^^^^^^^^^
     = help: leave it out: it frames the message, or belongs to one connection

s.toml:18:30: "x:y" cannot be the name of a header
  18 | response_headers = { add = { "x:y" = "1" } }
     |                              ^^^^^
     = help: write the name alone, without colon and spaces: "x-user-id"
"##,
    );
}
