use super::*;

fn page(html: &str) -> Page {
    Page {
        url: Url::parse("http://shop.test/account/login?next=1").unwrap(),
        html: html.to_owned(),
    }
}

fn submitted(html: &str, given: &[(&str, &str)]) -> Submission {
    let given: Vec<_> = given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    page(html).submit("form", &given).unwrap()
}

fn body(submission: &Submission) -> &str {
    std::str::from_utf8(&submission.body.as_ref().unwrap().1).unwrap()
}

#[test]
fn hidden_fields_are_sent_and_given_fields_replace_or_join_the_pages() {
    let sent = submitted(
        r#"<form method="post" action="../session">
             <input type="hidden" name="csrf" value="a+b">
             <input name="user" value="nobody"> <input type="password" name="password">
             <button>Log in</button></form>"#,
        &[("user", "ann"), ("extra", "1")],
    );
    assert_eq!(sent.method, Method::POST);
    assert_eq!(sent.url.as_str(), "http://shop.test/session");
    assert_eq!(sent.body.as_ref().unwrap().0, "application/x-www-form-urlencoded");
    assert_eq!(body(&sent), "csrf=a%2Bb&user=ann&password=&extra=1");
}

#[test]
fn only_what_a_browser_would_send_is_sent() {
    let sent = submitted(
        r#"<form method=post id=f>
             <input type=checkbox name=c1 checked><input type=checkbox name=c2>
             <input type=radio name=r value=1><input type=radio name=r value=2 checked>
             <select name=s1><option value=x>X<option value=y selected>Y</select>
             <select name=s2><option disabled>No<option> First </select>
             <select name=s3 multiple><option selected>a<option selected>b<option>c</select>
             <textarea name=t>
two
lines</textarea>
             <input name=off value=1 disabled><fieldset disabled><input name=inner value=1></fieldset>
             <input type=file name=file><input type=reset name=reset value=1><input value=unnamed>
             <button name=go value=save>Save</button><button name=go value=delete>Delete</button>
           </form>
           <input form=f name=outside value=1><input name=stranger value=1>"#,
        &[],
    );
    assert_eq!(body(&sent), "c1=on&r=2&s1=y&s2=First&s3=a&s3=b&t=two%0D%0Alines&go=save&outside=1");
}

#[test]
fn a_get_form_puts_its_fields_into_the_query_in_place_of_the_actions() {
    let sent =
        submitted(r#"<form action="/search?old=1"><input name=q></form>"#, &[("q", "a b&c")]);
    assert_eq!(sent.method, Method::GET);
    assert_eq!(sent.url.as_str(), "http://shop.test/search?q=a+b%26c");
    assert_eq!(sent.body, None);
}

#[test]
fn a_form_without_action_goes_to_its_page() {
    let sent = submitted(r#"<base href="/elsewhere/"><form method=post></form>"#, &[]);
    assert_eq!(sent.url.as_str(), "http://shop.test/account/login?next=1");
}

#[test]
fn a_multipart_form_is_sent_as_one() {
    let sent = submitted(
        r#"<form method=post enctype="multipart/form-data"><input name=a value="1"></form>"#,
        &[("b", "serinus-form")],
    );
    assert_eq!(sent.body.as_ref().unwrap().0, "multipart/form-data; boundary=serinus-form-");
    assert_eq!(
        body(&sent),
        "--serinus-form-\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
         --serinus-form-\r\ncontent-disposition: form-data; name=\"b\"\r\n\r\nserinus-form\r\n\
         --serinus-form---\r\n"
    );
}

#[test]
fn a_plain_form_is_sent_as_one_and_an_encoding_is_known_in_any_case() {
    let html =
        r#"<form method=post enctype="text/plain"><input name=a value="1&2"><input name=b></form>"#;
    let sent = submitted(html, &[("b", "x y")]);
    assert_eq!(sent.body.as_ref().unwrap().0, "text/plain");
    assert_eq!(body(&sent), "a=1&2\r\nb=x y\r\n");
    let sent = submitted("<form method=post enctype='Multipart/Form-Data'></form>", &[]);
    assert!(sent.body.unwrap().0.starts_with("multipart/form-data"));
}

#[test]
fn a_link_is_followed_from_itself_from_inside_and_from_around() {
    let page = page(
        r#"<a class=one href="item?id=1#top">x</a>
           <li class=two><a href="/two">x</a></li> <a href="/three"><b class=three>x</b></a>"#,
    );
    assert_eq!(page.link("a.one").unwrap().as_str(), "http://shop.test/account/item?id=1");
    assert_eq!(page.link(".two").unwrap().as_str(), "http://shop.test/two");
    assert_eq!(page.link(".three").unwrap().as_str(), "http://shop.test/three");
}

#[test]
fn a_base_element_moves_relative_links() {
    let page = page(r#"<base href="/shop/"><a href="item">x</a>"#);
    assert_eq!(page.link("a").unwrap().as_str(), "http://shop.test/shop/item");
}

#[test]
fn what_is_missing_is_named() {
    let page = page(r#"<div id="x">text</div>"#);
    assert_eq!(
        page.link("a.buy").unwrap_err(),
        "expected an element at `a.buy`, got a page without one"
    );
    assert_eq!(page.link("#x").unwrap_err(), "expected a link at `#x`, got <div id=\"x\">");
    assert_eq!(page.submit("#x", &[]).unwrap_err(), "expected a form at `#x`, got <div id=\"x\">");
    let text =
        |selector, attribute| text_of(&Html::parse_document(&page.html), selector, attribute);
    assert_eq!(
        text("#x", Some("href")).unwrap_err(),
        "expected attribute `href` at `#x`, got <div id=\"x\">"
    );
    assert!(text("a[", None).unwrap_err().starts_with("`a[` is no CSS selector"));
}
