use crate::{check, naming};
use serinus_probes::import::{Source, import};

pub(crate) const ORDER: &str = r#"# An order, from the cart to its confirmation.
GET https://shop.example/cart
[Query]
lang: de
ref: a b
HTTP 200
Content-Type: text/html
[Captures]
csrf: regex /name="csrf" value="([^"]+)"/
page: xpath "string(//title)"
[Asserts]
xpath "//h1" exists
body contains "Cart"
duration < 800

POST https://shop.example/api/orders   # the real thing
Authorization: Bearer {{api_key}}
X-Csrf: {{csrf}}
{
  "items": [{"id": 7, "qty": 2}],
  "token": "{{csrf}}",
  "nonce": {{newUuid}}
}
HTTP 201
[Captures]
order-id: jsonpath "$.id"
[Asserts]
jsonpath "$.items" count == 1
jsonpath "$.total" > 0
jsonpath "$.state" == "open"
jsonpath "$.error" not exists
jsonpath "$.id" matches /^[0-9]+\/x$/
jsonpath "$.created" isIsoDate
jsonpath "$.flags" isCollection
header "Location" startsWith "/orders/"
status == 201

DELETE {{host}}/api/orders/{{order-id}}
HTTP *

POST https://shop.example/login
[Form]
user: ann
[Options]
retry: 3

GET https://elsewhere.example/
HTTP 200
"#;

#[test]
fn requests_captures_and_asserts_come_over_and_the_rest_is_named() {
    let with_key = ORDER.replace("{{api_key}}", "{{csrf}}");
    check(
        Source::Hurl,
        &with_key,
        r#"
[probe.journey]
service = "shop"
host = "shop.example"

[[probe.journey.step]]
get = "/cart?lang=de&ref=a+b"
expect = { status = 200, body_contains = "Cart", max_latency = "800ms", header = [{ name = "content-type", equals = "text/html" }] }
capture = { csrf = { regex = 'name="csrf" value="([^"]+)"' } }

[[probe.journey.step]]
post = "/api/orders"
json = { items = [{ id = 7, qty = 2 }], nonce = "{{ random.uuid }}", token = "{{ csrf }}" }
headers = { authorization = "Bearer {{ csrf }}", x-csrf = "{{ csrf }}" }
expect = { status = 201, json = [{ path = "$.items", count = 1 }, { path = "$.total", greater = 0 }, { path = "$.state", equals = "open" }, { path = "$.error", exists = false }, { path = "$.id", matches = "^[0-9]+/x$" }, { path = "$.flags", type = "array" }], header = [{ name = "location", matches = "^/orders/" }] }
capture = { order_id = { json = "$.id" } }

[[probe.journey.step]]
delete = "/api/orders/{{ order_id }}"

[[probe.journey.step]]
post = "/login"
form = { user = "ann" }
"#,
        &[
            "left out: line 10: capture `page: xpath \"string(//title)\"`",
            "left out: line 12: assert `xpath \"//h1\" exists`",
            "left out: line 33: assert `jsonpath \"$.created\" isIsoDate`",
            "left out: line 45: `retry: 3`",
            "left out: line 47: a request to elsewhere.example, another site",
        ],
    );
}

#[test]
fn a_variable_from_outside_becomes_a_secret() {
    let imported = import(Source::Hurl, ORDER, &naming()).unwrap();
    assert!(imported.toml.contains("Bearer {{ secret.api_key }}"), "{}", imported.toml);
    assert!(imported.remarks.iter().any(|r| r.contains("SERINUS_SECRET_API_KEY")));
    crate::checked(&imported).unwrap();
}

#[test]
fn a_section_that_is_none_of_hurls_is_named_with_its_lines() {
    let text = "GET http://shop.example/\nHTTP 200\n[Assert]\nbody contains \"Cart\"\n";
    let imported = import(Source::Hurl, text, &naming()).unwrap();
    assert_eq!(
        imported.remarks,
        [
            "left out: [Assert], which is no section of Hurl",
            "left out: line 4: `body contains \"Cart\"`"
        ]
    );
}

#[test]
fn what_is_malformed_says_where_and_why() {
    let said = |text| import(Source::Hurl, text, &naming()).unwrap_err().to_string();
    assert_eq!(
        said("hello\n"),
        "line 1, column 1: expected a request: a method and a URL, found `hello`"
    );
    assert_eq!(
        said("GET http://a/\nHTTP abc\n"),
        "line 2, column 1: expected a status, like HTTP 200, found `HTTP abc`"
    );
    assert_eq!(
        said("POST http://a/\n\n{\n  \"a\": oops\n}\n"),
        "line 4, column 8: this JSON cannot be read: expected value"
    );
    assert_eq!(
        said("POST http://a/\n```json\n{}\n"),
        "line 2, column 1: this body does not end with ```, found ````json`"
    );
    assert_eq!(
        said("GET http://a/\nnonsense\n"),
        "line 2, column 1: expected `name: value`, found `nonsense`"
    );
    assert!(said("# nothing\n").contains("no request"));
}
