//! Whose fault a failed attempt is.

use super::recorder::Ending;
use pingora::{Error, ErrorSource, ErrorType};

/// Who is to blame, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Left, was too slow, or sent what is no HTTP: no observation of any variant.
    Client,
    /// The proxy itself: nor this.
    Proxy,
    /// The variant that was asked.
    Variant(Ending),
}

/// Whose fault `error` is. `uploading`: the client had not sent its whole request yet.
pub(crate) fn fault(error: &Error, uploading: bool) -> Fault {
    use ErrorType::{
        ConnectError, ConnectNoRoute, ConnectRefused, ConnectTimedout, HTTPStatus, HandshakeError,
        InvalidCert, InvalidHTTPHeader, ReadTimedout, TLSHandshakeFailure, TLSHandshakeTimedout,
        WriteTimedout,
    };
    match error.esource() {
        ErrorSource::Downstream => Fault::Client,
        ErrorSource::Internal | ErrorSource::Unset => Fault::Proxy,
        ErrorSource::Upstream => match error.etype() {
            HTTPStatus(status) => Fault::Variant(Ending::of_status(*status)),
            ConnectTimedout | ConnectRefused | ConnectNoRoute | ConnectError | HandshakeError
            | InvalidCert | TLSHandshakeFailure | TLSHandshakeTimedout => {
                Fault::Variant(Ending::ConnectError)
            }
            // The variant had nothing to answer yet: the time was spent by the client.
            ReadTimedout if uploading => Fault::Client,
            ReadTimedout | WriteTimedout => Fault::Variant(Ending::Timeout),
            InvalidHTTPHeader => Fault::Variant(Ending::ServerError),
            ErrorType::BindError | ErrorType::SocketError | ErrorType::InternalError => {
                Fault::Proxy // out of ports or descriptors
            }
            _ => Fault::Variant(Ending::Reset),
        },
    }
}

/// The status that a user gets for `error`; none where nobody is left to answer.
pub(crate) fn status(error: &Error, uploading: bool) -> Option<u16> {
    use ErrorType::{ConnectTimedout, HTTPStatus, ReadTimedout, WriteTimedout};
    match (error.esource(), error.etype()) {
        (_, HTTPStatus(status)) => Some(*status),
        (ErrorSource::Downstream, ReadTimedout) => Some(408),
        (
            ErrorSource::Downstream,
            ErrorType::WriteError
            | ErrorType::ReadError
            | ErrorType::ConnectionClosed
            | WriteTimedout,
        ) => None,
        (ErrorSource::Downstream, _) => Some(400),
        (ErrorSource::Upstream, ReadTimedout) if uploading => Some(408),
        (ErrorSource::Upstream, ConnectTimedout | ReadTimedout | WriteTimedout) => Some(504),
        (ErrorSource::Upstream, _) => Some(502),
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(500),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of: source, type, uploading, expected fault, expected status.
    #[test]
    fn faults_go_to_those_who_made_them() {
        let rows = [
            (ErrorSource::Downstream, ErrorType::ConnectionClosed, false, Fault::Client, None),
            (ErrorSource::Downstream, ErrorType::ReadTimedout, true, Fault::Client, Some(408)),
            (
                ErrorSource::Downstream,
                ErrorType::InvalidHTTPHeader,
                false,
                Fault::Client,
                Some(400),
            ),
            (ErrorSource::Upstream, ErrorType::ReadTimedout, true, Fault::Client, Some(408)),
            (
                ErrorSource::Upstream,
                ErrorType::ReadTimedout,
                false,
                Fault::Variant(Ending::Timeout),
                Some(504),
            ),
            (
                ErrorSource::Upstream,
                ErrorType::ConnectTimedout,
                false,
                Fault::Variant(Ending::ConnectError),
                Some(504),
            ),
            (
                ErrorSource::Upstream,
                ErrorType::ConnectRefused,
                false,
                Fault::Variant(Ending::ConnectError),
                Some(502),
            ),
            (
                ErrorSource::Upstream,
                ErrorType::ConnectionClosed,
                false,
                Fault::Variant(Ending::Reset),
                Some(502),
            ),
            (ErrorSource::Upstream, ErrorType::SocketError, false, Fault::Proxy, Some(502)),
            (ErrorSource::Internal, ErrorType::InternalError, false, Fault::Proxy, Some(500)),
        ];
        for (source, etype, uploading, whose, code) in rows {
            let error = Error::create(etype, source, None, None);
            assert_eq!(fault(&error, uploading), whose, "{error}");
            assert_eq!(status(&error, uploading), code, "{error}");
        }
    }
}
