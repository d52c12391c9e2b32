//! Lines of a Hurl file, sorted into entries.

use crate::import::ImportError;
use serde_json::Value;

/// A line that is neither empty nor a comment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: usize,
    /// Without the blanks around it and without a comment.
    pub(super) text: &'a str,
}

/// A request and what is said of its answer.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) line: usize,
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    pub(super) headers: Vec<Line<'a>>,
    sections: Vec<(&'a str, Vec<Line<'a>>)>,
    pub(super) body: Option<Body>,
    pub(super) status: Option<u16>,
    pub(super) answer_headers: Vec<Line<'a>>,
    /// The answer's body is given in full.
    pub(super) answer_body: bool,
    answered: bool,
    /// Lines go into the last section.
    in_section: bool,
}

#[derive(Debug)]
pub(super) enum Body {
    Json(Value),
    Text(String),
}

impl<'a> Entry<'a> {
    /// Lines of the sections of these names.
    pub(super) fn section(
        &self,
        names: &'static [&'static str],
    ) -> impl Iterator<Item = &Line<'a>> {
        let named = self.sections.iter().filter(move |(name, _)| names.contains(name));
        named.flat_map(|(_, lines)| lines)
    }

    /// Sections of other names than these, with their lines.
    pub(super) fn other_sections(
        &self,
        known: &[&str],
    ) -> impl Iterator<Item = (&'a str, &[Line<'a>])> {
        let others = self.sections.iter().filter(|(name, _)| !known.contains(name));
        others.map(|(name, lines)| (*name, lines.as_slice()))
    }
}

/// Every entry of a file.
pub(super) fn entries(text: &str) -> Result<Vec<Entry<'_>>, ImportError> {
    let lines: Vec<&str> = text.lines().collect();
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = Line { number: at + 1, text: without_comment(lines[at]) };
        at += 1;
        if line.text.is_empty() {
            continue;
        }
        if let Some((method, url)) = request_line(line.text) {
            entries.push(Entry::new(line.number, method, url));
            continue;
        }
        let Some(entry) = entries.last_mut() else {
            return Err(malformed(line, "expected a request: a method and a URL"));
        };
        if let Some(status) = line.text.strip_prefix("HTTP") {
            entry.status = status_of(line, status)?;
            (entry.answered, entry.in_section) = (true, false);
        } else if let Some(name) =
            line.text.strip_prefix('[').and_then(|name| name.strip_suffix(']'))
            && name.bytes().all(|byte| byte.is_ascii_alphabetic())
        {
            entry.sections.push((name, Vec::new()));
            entry.in_section = true;
        } else if line.text.starts_with(['{', '[', '`', '<', '"']) || is_reference(line.text) {
            let (body, next) = body(&lines, at - 1)?;
            at = next;
            match entry.answered {
                true => entry.answer_body = true,
                false => entry.body = Some(body),
            }
        } else if entry.in_section
            && let Some((_, lines)) = entry.sections.last_mut()
        {
            lines.push(line);
        } else if entry.answered {
            entry.answer_headers.push(line);
        } else {
            entry.headers.push(line);
        }
    }
    Ok(entries)
}

impl<'a> Entry<'a> {
    fn new(line: usize, method: &'a str, url: &'a str) -> Entry<'a> {
        Entry {
            line,
            method,
            url,
            headers: Vec::new(),
            sections: Vec::new(),
            body: None,
            status: None,
            answer_headers: Vec::new(),
            answer_body: false,
            answered: false,
            in_section: false,
        }
    }
}

fn malformed(line: Line<'_>, reason: &str) -> ImportError {
    let reason = format!("{reason}, found `{}`", line.text);
    ImportError::Malformed { line: line.number, column: 1, reason }
}

/// A comment begins with `#` at the start of a line or after a blank, outside quotes.
fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match c {
            '"' if before != '\\' => quoted = !quoted,
            '#' if !quoted && before.is_whitespace() => return line[..at].trim(),
            _ => {}
        }
        before = c;
    }
    line.trim()
}

/// `GET http://...`
fn request_line(text: &str) -> Option<(&str, &str)> {
    let (method, url) = text.split_once(char::is_whitespace)?;
    let url = url.trim();
    let is_method = method.len() > 2 && method.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_url = url.contains("://") || url.starts_with("{{");
    // `HTTP 200` has the shape of a request, and no URL.
    (is_method && is_url && method != "HTTP").then_some((method, url))
}

/// `/1.1 200`, ` 201`, ` *`
fn status_of(line: Line<'_>, rest: &str) -> Result<Option<u16>, ImportError> {
    let status = match rest.strip_prefix('/') {
        Some(versioned) => {
            versioned.split_once(char::is_whitespace).map_or("", |(_, status)| status)
        }
        None => rest,
    };
    match status.trim() {
        "*" => Ok(None),
        code => match code.parse::<u16>() {
            Ok(code) if (100..600).contains(&code) => Ok(Some(code)),
            _ => Err(malformed(line, "expected a status, like HTTP 200")),
        },
    }
}

fn is_reference(text: &str) -> bool {
    ["file,", "base64,", "hex,"].iter().any(|kind| text.starts_with(kind))
}

/// A body that begins at a line, and the line after it.
fn body(lines: &[&str], from: usize) -> Result<(Body, usize), ImportError> {
    let first = lines[from].trim();
    let line = Line { number: from + 1, text: first };
    if let Some(rest) = first.strip_prefix("```") {
        if let Some(text) = rest.strip_suffix("```").filter(|_| rest.len() >= 3) {
            return Ok((Body::Text(text.to_owned()), from + 1));
        }
        if rest.trim().starts_with("graphql") {
            return Err(malformed(line, "write this GraphQL body as JSON: { \"query\": ... }"));
        }
        let end = (from + 1..lines.len()).find(|at| lines[*at].trim() == "```");
        let Some(end) = end else {
            return Err(malformed(line, "this body does not end with ```"));
        };
        let text = lines[from + 1..end].join("\n");
        let json =
            rest.trim().starts_with("json").then(|| serde_json::from_str(&text).ok()).flatten();
        return Ok((json.map_or(Body::Text(text), Body::Json), end + 1));
    }
    if let Some(text) = first.strip_prefix('`').and_then(|text| text.strip_suffix('`')) {
        return Ok((Body::Text(text.to_owned()), from + 1));
    }
    if is_reference(first) {
        return Err(malformed(line, "a body from a file or in binary cannot be imported"));
    }
    if first.starts_with('<') {
        // XML has no end of its own here: it goes to the next empty line or request.
        let ends = |at: &usize| lines[*at].trim().is_empty() || lines[*at].starts_with("HTTP");
        let end = (from..lines.len()).find(ends).unwrap_or(lines.len());
        return Ok((Body::Text(lines[from..end].join("\n")), end));
    }
    json(lines, from)
}

/// JSON may hold templates outside strings, `{"id": {{id}}}`: they are put in quotes for reading.
fn json(lines: &[&str], from: usize) -> Result<(Body, usize), ImportError> {
    let mut text = String::new();
    let mut said = None;
    for (at, line) in lines.iter().enumerate().skip(from) {
        text.push_str(line);
        text.push('\n');
        match serde_json::from_str::<Value>(&bare_templates_quoted(&text)) {
            Ok(value) => return Ok((Body::Json(value), at + 1)),
            Err(error) if error.is_eof() => {}
            Err(error) => {
                said = Some(error);
                break;
            }
        }
    }
    let (line, column, reason) = match &said {
        Some(error) => (from + error.line().max(1), error.column().max(1), error.to_string()),
        None => (from + 1, 1, "it does not end".to_owned()),
    };
    let reason = reason.split(" at line ").next().unwrap_or_default().to_owned();
    Err(ImportError::Malformed {
        line,
        column,
        reason: format!("this JSON cannot be read: {reason}"),
    })
}

fn bare_templates_quoted(text: &str) -> String {
    let (mut out, mut quoted, mut escaped) = (String::new(), false, false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if !quoted
            && rest.starts_with("{{")
            && let Some(end) = rest.find("}}")
            && !rest[..end].contains(['"', '\n', ':'])
        {
            out.push_str(&format!("\"{}\"", &rest[..end + 2]));
            rest = &rest[end + 2..];
            continue;
        }
        match c {
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}
