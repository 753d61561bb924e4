//! Writing journal records as NNI's SDK does: for tests, examples and platforms that relay a record.
//!
//! The JSON inside is [`crate::Metric::render`]; reading is [`super::FrameParser`].

use super::frame::{HEADER_LEN, LINE_MARKER, MAX_PAYLOAD};
use crate::{Error, ErrorKind, Result};

/// `body` as a file frame: `ME`, six digits, the body, a newline. The digits count bytes, newline included.
///
/// Source: NNI v2.10, `nni/runtime/platform/local.py`, `send_metric`.
///
/// # Errors
/// [`ErrorKind::Rejected`] if `body` holds a newline or NUL or is longer than 999,998 bytes.
pub fn frame(body: &str) -> Result<Vec<u8>> {
    check(body)?;
    let mut out = Vec::with_capacity(HEADER_LEN + body.len() + 1);
    out.extend_from_slice(format!("ME{:06}", body.len() + 1).as_bytes());
    out.extend_from_slice(body.as_bytes());
    out.push(b'\n');
    Ok(out)
}

/// `body` as a line for standard output: `NNISDK_MEb'`, the body, `'`, a newline. Apostrophes are not escaped.
///
/// Source: NNI v2.10, `nni/runtime/platform/local.py`, `send_metric`.
///
/// # Errors
/// As [`frame`].
pub fn line(body: &str) -> Result<Vec<u8>> {
    check(body)?;
    Ok([LINE_MARKER, body.as_bytes(), b"'\n"].concat())
}

fn check(body: &str) -> Result<()> {
    if body.len() >= MAX_PAYLOAD {
        let message = format!(
            "metric of {} bytes is longer than the {} that a record holds",
            body.len(),
            MAX_PAYLOAD - 1
        );
        return Err(Error::new(ErrorKind::Rejected, message)
            .with_help("report a summary; write large results to a file in `NNI_OUTPUT_DIR`"));
    }
    if body.bytes().any(|b| b == b'\n' || b == 0) {
        return Err(Error::new(
            ErrorKind::Rejected,
            "metric holds a raw newline or NUL, which a record cannot",
        )
        .with_help("encode the metric as JSON on one line"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_count_bytes_with_the_newline() {
        assert_eq!(frame("").unwrap(), b"ME000001\n");
        assert_eq!(frame("é").unwrap(), "ME000003é\n".as_bytes());
        let longest = frame(&"x".repeat(999_998)).unwrap();
        assert!(longest.starts_with(b"ME999999x") && longest.ends_with(b"x\n"));
    }

    #[test]
    fn what_cannot_be_read_back_is_refused() {
        for body in ["a\nb".to_owned(), "a\0".to_owned(), "x".repeat(999_999)] {
            assert_eq!(frame(&body).unwrap_err().kind(), ErrorKind::Rejected);
            assert_eq!(line(&body).unwrap_err().kind(), ErrorKind::Rejected);
        }
    }

    #[test]
    fn lines_do_not_escape() {
        assert_eq!(line("it's").unwrap(), b"NNISDK_MEb'it's'\n");
    }
}
