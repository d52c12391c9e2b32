//! Where a chunked body ends (RFC 9112, 7.1), and whether it is framed exactly as it must be.

/// Most hexadecimal digits of a chunk's size: 2^60 bytes and less.
const MOST_DIGITS: u8 = 15;
/// Most bytes of chunk extensions in one body: nobody uses them, and attackers pad with them.
const MOST_EXTENSION: usize = 4 * 1024;
/// Most bytes of trailer fields.
const MOST_TRAILER: usize = 8 * 1024;

/// The framing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadChunk;

/// How far a chunked body has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunked {
    place: Place,
    extension: usize,
    trailer: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the hexadecimal size of a chunk.
    Size {
        size: u64,
        digits: u8,
    },
    Extension {
        size: u64,
    },
    /// After the CR of the size line.
    SizeEnd {
        size: u64,
    },
    Data {
        left: u64,
    },
    /// After the data: its CR, then its LF.
    DataEnd {
        cr: bool,
    },
    /// At the beginning of a line after the last chunk.
    TrailerStart,
    Trailer,
    /// After the CR of a trailer line.
    TrailerEnd,
    /// After the CR of the empty line.
    LastEnd,
    Done,
}

impl Chunked {
    pub(crate) fn new() -> Self {
        Chunked { place: Place::Size { size: 0, digits: 0 }, extension: 0, trailer: 0 }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.place == Place::Done
    }

    /// Bytes of data that are certain to come next, whatever they are.
    pub(crate) fn data_left(&self) -> u64 {
        match self.place {
            Place::Data { left } => left,
            _ => 0,
        }
    }

    /// Reads on; how many of `bytes` belong to the body.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        let mut at = 0;
        while at < bytes.len() && !self.is_done() {
            if let Place::Data { left } = self.place {
                let here = left.min((bytes.len() - at) as u64);
                at += here as usize;
                self.place = match left - here {
                    0 => Place::DataEnd { cr: false },
                    left => Place::Data { left },
                };
                continue;
            }
            self.place = self.after(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    /// The place after one byte that is no data.
    fn after(&mut self, byte: u8) -> Result<Place, BadChunk> {
        let place = match (self.place, byte) {
            (Place::Size { size, digits }, byte) => match (char::from(byte).to_digit(16), byte) {
                (Some(digit), _) if digits < MOST_DIGITS => {
                    Place::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
                }
                (None, b'\r') if digits > 0 => Place::SizeEnd { size },
                (None, b';') if digits > 0 => Place::Extension { size },
                _ => return Err(BadChunk),
            },
            (Place::Extension { size }, b'\r') => Place::SizeEnd { size },
            (Place::Extension { .. }, byte) => {
                self.extension += 1;
                if self.extension > MOST_EXTENSION || !is_text(byte) {
                    return Err(BadChunk);
                }
                self.place
            }
            (Place::SizeEnd { size: 0 }, b'\n') => Place::TrailerStart,
            (Place::SizeEnd { size }, b'\n') => Place::Data { left: size },
            (Place::DataEnd { cr: false }, b'\r') => Place::DataEnd { cr: true },
            (Place::DataEnd { cr: true }, b'\n') => Place::Size { size: 0, digits: 0 },
            (Place::TrailerStart, b'\r') => Place::LastEnd,
            (Place::Trailer, b'\r') => Place::TrailerEnd,
            // A line that begins with a space would continue the one before.
            (Place::TrailerStart, b' ' | b'\t') => return Err(BadChunk),
            (Place::TrailerStart | Place::Trailer, byte) => {
                self.trailer += 1;
                if self.trailer > MOST_TRAILER || !is_text(byte) {
                    return Err(BadChunk);
                }
                Place::Trailer
            }
            (Place::TrailerEnd, b'\n') => Place::TrailerStart,
            (Place::LastEnd, b'\n') => Place::Done,
            _ => return Err(BadChunk),
        };
        Ok(place)
    }
}

/// No control character.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of the body, read whole and byte by byte, which must come to the same.
    fn read(bytes: &[u8]) -> Result<Option<usize>, BadChunk> {
        let mut whole = Chunked::new();
        let in_one = whole.read(bytes).map(|read| whole.is_done().then_some(read));
        let mut slow = Chunked::new();
        let mut count = 0;
        let mut by_bytes = Ok(None);
        for byte in bytes {
            match slow.read(&[*byte]) {
                Ok(read) => count += read,
                Err(bad) => {
                    by_bytes = Err(bad);
                    break;
                }
            }
        }
        if by_bytes.is_ok() {
            by_bytes = Ok(slow.is_done().then_some(count));
        }
        assert_eq!(in_one, by_bytes, "{}", bytes.escape_ascii());
        in_one
    }

    #[test]
    fn a_body_ends_where_it_says() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "00a;x=\"y\"\r\n0123456789\r\n000\r\nx-sum: 1\r\ny: 2\r\n\r\n",
        ] {
            assert_eq!(read(body.as_bytes()), Ok(Some(body.len())));
            let more = format!("{body}GET / HTTP/1.1\r\n");
            assert_eq!(read(more.as_bytes()), Ok(Some(body.len())));
            assert_eq!(read(&body.as_bytes()[..body.len() - 1]), Ok(None));
        }
    }

    #[test]
    fn whatever_could_be_read_in_two_ways_is_wrong() {
        for bad in [
            "\r\n",
            "0\n\r\n",
            "0\r\n\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\nhello\r\n",
            " 5\r\nhello\r\n",
            "5 \r\nhello\r\n",
            "0x5\r\nhello\r\n",
            "+5\r\nhello\r\n",
            "-1\r\n",
            "5;a\nb\r\nhello\r\n",
            "5;a\rb\r\nhello\r\n",
            "1000000000000000\r\n",
            "0\r\nx: 1\n\r\n",
            "0\r\n folded\r\n\r\n",
            "0\r\nx: \0\r\n\r\n",
        ] {
            assert_eq!(read(bad.as_bytes()), Err(BadChunk), "{bad:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let padded = format!("1;{}\r\n", "x".repeat(MOST_EXTENSION + 1));
        assert_eq!(read(padded.as_bytes()), Err(BadChunk));
        let many = "1;xx\r\na\r\n".repeat(MOST_EXTENSION / 2 + 1);
        assert_eq!(read(many.as_bytes()), Err(BadChunk));
        let trailer = format!("0\r\nx: {}\r\n", "y".repeat(MOST_TRAILER));
        assert_eq!(read(trailer.as_bytes()), Err(BadChunk));
    }
}
