//! The header of a request, line by line as it comes.

use crate::data_path::rejection::Reason;

/// How large a header may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadBounds {
    /// Bytes of the whole header.
    pub(crate) header: usize,
    /// Fields.
    pub(crate) fields: usize,
    /// Bytes of the target.
    pub(crate) target: usize,
    /// Names with an underscore are refused.
    pub(crate) refuse_underscores: bool,
}

/// How the body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// That many bytes; zero where there is no body.
    Length(u64),
    Chunked,
}

/// A header that is complete and right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its bytes, with the empty line.
    pub(crate) length: usize,
    pub(crate) framing: Framing,
    /// It asks for another protocol on this connection.
    pub(crate) upgrade: bool,
    /// Some name has an underscore.
    pub(crate) underscores: bool,
}

/// Empty lines before a request that are passed over (RFC 9112, 2.2).
const MOST_EMPTY_LINES: u8 = 4;
/// Most digits of a length: what fits into 64 bits.
const MOST_LENGTH_DIGITS: usize = 19;

/// Reads a header as it grows; every line is looked at once.
#[derive(Debug, Default)]
pub(crate) struct HeadReader {
    /// Where the current line begins.
    line: usize,
    /// Up to where line ends were looked for.
    searched: usize,
    empty_lines: u8,
    fields: usize,
    begun: bool,
    minor_version: u8,
    host: Option<Span>,
    /// The authority of an absolute target.
    authority: Option<Span>,
    length: Option<u64>,
    chunked: bool,
    wants_upgrade: bool,
    names_protocol: bool,
    underscores: bool,
}

type Span = std::ops::Range<usize>;

impl HeadReader {
    /// Reads on in `bytes`, which begin with the header and have grown since the last time.
    /// None: there is more to come.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        bounds: &HeadBounds,
    ) -> Result<Option<Head>, Reason> {
        while let Some(found) = memchr::memchr(b'\n', &bytes[self.searched..]) {
            let end = self.searched + found; // of the line, without its LF
            if end >= bounds.header {
                return Err(self.too_large());
            }
            if end == self.line || bytes[end - 1] != b'\r' {
                return Err(Reason::LineEnd);
            }
            let line = self.line..end - 1;
            (self.line, self.searched) = (end + 1, end + 1);
            let read = match (self.begun, line.is_empty()) {
                (false, true) => {
                    self.empty_lines += 1;
                    if self.empty_lines > MOST_EMPTY_LINES {
                        return Err(Reason::RequestLine);
                    }
                    continue;
                }
                (false, false) => self.request_line(bytes, line.clone(), bounds),
                (true, false) => self.field(bytes, line.clone(), bounds),
                (true, true) => return self.finish(bytes).map(Some),
            };
            if let Err(reason) = read {
                // No line that is right has one: so it is looked for only where something is wrong.
                let has_cr = bytes[line].contains(&b'\r');
                return Err(if has_cr { Reason::LineEnd } else { reason });
            }
        }
        self.searched = bytes.len();
        if !self.begun && self.searched - self.line > bounds.target + LONGEST_METHOD {
            return Err(Reason::TargetTooLong);
        }
        if self.searched >= bounds.header {
            return Err(self.too_large());
        }
        Ok(None)
    }

    fn too_large(&self) -> Reason {
        if self.begun { Reason::HeaderTooLarge } else { Reason::TargetTooLong }
    }

    fn request_line(&mut self, bytes: &[u8], at: Span, bounds: &HeadBounds) -> Result<(), Reason> {
        self.begun = true;
        let line = &bytes[at.clone()];
        let space = |byte: &u8| *byte == b' ';
        let (Some(first), Some(last)) = (line.iter().position(space), line.iter().rposition(space))
        else {
            return Err(Reason::RequestLine);
        };
        let (method, version) = (&line[..first], &line[last + 1..]);
        if first == last || method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
            return Err(Reason::RequestLine);
        }
        self.minor_version = match version {
            b"HTTP/1.1" => 1,
            b"HTTP/1.0" => 0,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Reason::Version);
            }
            _ => return Err(Reason::RequestLine),
        };
        let target = &line[first + 1..last];
        if target.len() > bounds.target {
            return Err(Reason::TargetTooLong);
        }
        if matches!(method, b"CONNECT" | b"TRACE") {
            return Err(Reason::Method);
        }
        if target.is_empty() || !target.iter().all(|byte| is_target(*byte)) {
            return Err(Reason::Target);
        }
        let start = at.start + first + 1;
        match target[0] {
            b'/' => Ok(()),
            b'*' if target.len() == 1 && method == b"OPTIONS" => Ok(()),
            _ => {
                let authority = authority(target).ok_or(Reason::Target)?;
                self.authority = Some(start + authority.start..start + authority.end);
                Ok(())
            }
        }
    }

    fn field(&mut self, bytes: &[u8], at: Span, bounds: &HeadBounds) -> Result<(), Reason> {
        let line = &bytes[at.clone()];
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(Reason::FoldedLine);
        }
        self.fields += 1;
        if self.fields > bounds.fields {
            return Err(Reason::TooManyFields);
        }
        // A space before the colon is no part of a token, either.
        let colon = line.iter().position(|byte| !is_token(*byte)).ok_or(Reason::Field)?;
        if colon == 0 || line[colon] != b':' {
            return Err(Reason::Field);
        }
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        // To the end whatever is found: so it is sixteen bytes at a time.
        if value.iter().fold(false, |found, byte| found | is_control(*byte)) {
            return Err(Reason::Field);
        }
        if name.contains(&b'_') {
            if bounds.refuse_underscores {
                return Err(Reason::Underscore);
            }
            self.underscores = true;
        }
        // Most names have none of these lengths.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                let value_at = at.start + colon + 1;
                self.host(bytes, value_at..at.end)?;
            }
            6 if name.eq_ignore_ascii_case(b"expect")
                && !trim(value).eq_ignore_ascii_case(b"100-continue") =>
            {
                return Err(Reason::Expectation);
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.names_protocol = true,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                let mut options = value.split(|byte| *byte == b',').map(trim);
                self.wants_upgrade |= options.any(|one| one.eq_ignore_ascii_case(b"upgrade"));
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                self.content_length(trim(value))?
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if !trim(value).eq_ignore_ascii_case(b"chunked") {
                    return Err(Reason::TransferCoding);
                }
                if std::mem::replace(&mut self.chunked, true) {
                    return Err(Reason::Length);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn host(&mut self, bytes: &[u8], at: Span) -> Result<(), Reason> {
        let value = &bytes[at.clone()];
        let start = at.start + value.len() - value.trim_ascii_start().len();
        let host = trim(value);
        if self.host.is_some() || !is_authority(host) {
            return Err(Reason::Host);
        }
        self.host = Some(start..start + host.len());
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Reason> {
        let fine = (1..=MOST_LENGTH_DIGITS).contains(&value.len())
            && value.iter().all(u8::is_ascii_digit)
            && self.length.is_none();
        let length = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
        self.length = Some(length.filter(|_| fine).ok_or(Reason::Length)?);
        Ok(())
    }

    fn finish(&self, bytes: &[u8]) -> Result<Head, Reason> {
        let host = self.host.clone().map(|host| &bytes[host]);
        if host.is_none() && self.minor_version == 1 {
            return Err(Reason::HostMissing);
        }
        if let Some(authority) = self.authority.clone()
            && host != Some(&bytes[authority])
        {
            return Err(Reason::Target);
        }
        if self.chunked && (self.length.is_some() || self.minor_version == 0) {
            return Err(Reason::Length);
        }
        let framing =
            if self.chunked { Framing::Chunked } else { Framing::Length(self.length.unwrap_or(0)) };
        Ok(Head {
            length: self.line,
            framing,
            upgrade: self.wants_upgrade && self.names_protocol && self.minor_version == 1,
            underscores: self.underscores,
        })
    }
}

/// Longer methods are none that anybody registered.
const LONGEST_METHOD: usize = 64;

/// Where the authority of an absolute target is; none for any other target.
fn authority(target: &[u8]) -> Option<Span> {
    let start = ["http://", "https://"].into_iter().find_map(|scheme| {
        let begins = target.get(..scheme.len())?.eq_ignore_ascii_case(scheme.as_bytes());
        begins.then_some(scheme.len())
    })?;
    let length = target[start..].iter().position(|byte| matches!(byte, b'/' | b'?'));
    let end = length.map_or(target.len(), |length| start + length);
    is_authority(&target[start..end]).then_some(start..end)
}

/// `host`, `host:port`, `[address]` or `[address]:port`.
pub(crate) fn is_authority(authority: &[u8]) -> bool {
    let (host, port) = match authority.iter().position(|byte| *byte == b']') {
        Some(end) if authority[0] == b'[' => {
            let inside = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
            if end == 1 || !authority[1..end].iter().all(inside) {
                return false;
            }
            (&authority[..=end], &authority[end + 1..])
        }
        _ => {
            let colon = authority.iter().position(|byte| *byte == b':');
            let (host, port) = authority.split_at(colon.unwrap_or(authority.len()));
            let plain = |byte: &u8| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~')
            };
            if !host.iter().all(plain) {
                return false;
            }
            (host, port)
        }
    };
    let port_is_fine = match port {
        [] => true,
        [b':', digits @ ..] => {
            (1..=5).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    !host.is_empty() && host.len() <= 253 && port_is_fine
}

/// What no value may have.
const fn is_control(byte: u8) -> bool {
    (byte < b' ') & (byte != b'\t') | (byte == 0x7f)
}

/// What a target may have as it is: a fragment is the browser's own, the others must be encoded (RFC 3986, 2).
fn is_target(byte: u8) -> bool {
    const TARGET: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            let letter = byte as u8;
            table[byte] = letter.is_ascii_graphic() && !matches!(letter, b'"' | b'#' | b'<' | b'>');
            byte += 1;
        }
        table
    };
    TARGET[byte as usize]
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            let letter = byte as u8;
            table[byte] = letter.is_ascii_alphanumeric()
                || matches!(
                    letter,
                    b'!' | b'#'
                        | b'$'
                        | b'%'
                        | b'&'
                        | b'\''
                        | b'*'
                        | b'+'
                        | b'-'
                        | b'.'
                        | b'^'
                        | b'_'
                        | b'`'
                        | b'|'
                        | b'~'
                );
            byte += 1;
        }
        table
    };
    TOKEN[byte as usize]
}

/// Without the optional white space around a value: spaces and tabs, nothing else.
fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

#[cfg(test)]
mod tests;
