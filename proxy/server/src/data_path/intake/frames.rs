//! What the HTTP/2 library says to a client on its own: a stream that it resets, a connection that
//! it ends, an answer of one line. Such a request reaches no hook, so it is found in what is written.

/// Length, type, flags and stream of a frame (RFC 9113, 4.1).
const HEAD: usize = 9;
/// The most that is looked at of what follows: all of a GOAWAY but its text.
const MOST: usize = 8;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
/// `:status: 400` as the only field: answers of the proxy itself have more.
const BARE_400: &[u8] = &[0x8c];

/// Reads on in the frames that go to a client.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// The current frame as far as it is looked at.
    start: [u8; HEAD + MOST],
    filled: usize,
    /// Bytes of the current frame that are passed over.
    skip: usize,
}

impl Frames {
    /// How many requests or connections are refused by what is written now.
    pub(crate) fn written(&mut self, mut bytes: &[u8]) -> u32 {
        let mut refused = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let passed = self.skip.min(bytes.len());
                self.skip -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            let taken = (self.wanted() - self.filled).min(bytes.len());
            self.start[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled >= HEAD && self.filled == self.wanted() {
                refused += u32::from(self.refuses());
                self.skip = self.length() - (self.filled - HEAD);
                self.filled = 0;
            }
        }
        refused
    }

    fn length(&self) -> usize {
        let [high, middle, low] = [self.start[0], self.start[1], self.start[2]];
        usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
    }

    /// How much of the current frame has to be seen, as far as that is known.
    fn wanted(&self) -> usize {
        if self.filled < HEAD {
            return HEAD;
        }
        let looked_at = match self.start[3] {
            HEADERS | RST_STREAM | GOAWAY => MOST,
            _ => 0,
        };
        HEAD + self.length().min(looked_at)
    }

    fn refuses(&self) -> bool {
        let body = &self.start[HEAD..self.filled];
        match (self.start[3], body) {
            (HEADERS, body) => self.start[4] & END_STREAM != 0 && body == BARE_400,
            (RST_STREAM, [0, 0, 0, code]) | (GOAWAY, [_, _, _, _, 0, 0, 0, code]) => is_for(*code),
            _ => false,
        }
    }
}

/// Whether an error of this code (RFC 9113, 7) is for what the client did. The others: nothing is
/// wrong (0), the proxy's own fault (2), nobody wants the answer any more (8).
fn is_for(code: u8) -> bool {
    !matches!(code, 0 | 2 | 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, body.len() as u8, kind, flags, 0, 0, 0, 1];
        frame.extend_from_slice(body);
        frame
    }

    /// Counts whole and byte by byte, which must come to the same.
    #[track_caller]
    fn check(frames: &[Vec<u8>], refused: u32) {
        let bytes = frames.concat();
        assert_eq!(Frames::default().written(&bytes), refused);
        let mut slow = Frames::default();
        assert_eq!(bytes.iter().map(|byte| slow.written(&[*byte])).sum::<u32>(), refused);
    }

    #[test]
    fn what_the_library_refuses_is_counted() {
        let settings = frame(4, 0, &[0, 3, 0, 0, 0, 100]);
        let data = frame(0, 0, &[3; 200]);
        for (refusal, counts) in [
            (frame(RST_STREAM, 0, &[0, 0, 0, 1]), 1),
            (frame(RST_STREAM, 0, &[0, 0, 0, 7]), 1),
            (frame(RST_STREAM, 0, &[0, 0, 0, 8]), 0),
            (frame(RST_STREAM, 0, &[0, 0, 0, 0]), 0),
            (frame(GOAWAY, 0, b"\0\0\0\x01\0\0\0\x0btoo_many_resets"), 1),
            (frame(GOAWAY, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]), 0),
            (frame(HEADERS, 5, BARE_400), 1),
            (frame(HEADERS, 4, BARE_400), 0),
            (frame(HEADERS, 5, &[0x8c, 0xbe]), 0),
            (frame(HEADERS, 5, &[0xbe]), 0),
        ] {
            let all = [settings.clone(), data.clone(), refusal, frame(6, 1, &[3; 8])];
            check(&all, counts);
            check(&[&all[..], &all[..]].concat(), 2 * counts);
        }
    }
}
