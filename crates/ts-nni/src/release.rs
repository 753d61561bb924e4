//! Releases of NNI and what differs between them on the wire.

use ts_core::{Error, ErrorKind, Result};

/// Version of the installed package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Release {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Frames on the file descriptors 3 and 4.
    Frames,
    /// Text over a WebSocket: the code, then the content.
    Text,
    /// JSON over a WebSocket.
    Json,
}

impl Release {
    /// Reads a version, such as `3.0`, `2.10.1` or `3.0rc1`.
    ///
    /// # Errors
    /// `Unsupported` for a version that speaks none of the protocols.
    pub(crate) fn parse(version: &str) -> Result<Self> {
        let mut parts = version.split('.').map(|part| {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            part[..digits].parse::<u32>().ok()
        });
        let (major, minor) = (parts.next().flatten(), parts.next().flatten());
        // A build from source calls itself 999: it is of the last line there was.
        let release = match (major, minor) {
            (Some(999), _) => Some(Self { major: 3, minor: 0 }),
            (Some(major), Some(minor)) => Some(Self { major, minor }),
            _ => None,
        };
        release
            .filter(|release| *release >= Self { major: 1, minor: 9 } && release.major <= 3)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "version {} of NNI is installed, which is not supported",
                        version.escape_debug()
                    ),
                )
                .with_help("install one from 1.9 to 3.0, such as `pip install nni==3.0`")
            })
    }

    /// How its dispatcher speaks.
    pub(crate) fn protocol(self) -> Protocol {
        if self.major >= 3 {
            Protocol::Json
        } else if self >= (Self { major: 2, minor: 8 }) {
            Protocol::Text
        } else {
            Protocol::Frames
        }
    }

    /// Whether its dispatcher itself makes further parameters of a running trial. Later ones have the code, and nothing that
    /// switches it on.
    ///
    /// Source: nni v1.9, `nni/__main__.py`; v2.10 and v3.0, `nni/runtime/common.py`, `enable_multi_phase`, which nobody calls.
    pub(crate) fn has_phases(self) -> bool {
        self.major == 1
    }

    /// Whether it can be told which parameter ids earlier trials had.
    pub(crate) fn continues_ids(self) -> bool {
        self >= Self { major: 2, minor: 10 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_release_speaks_its_protocol() {
        for (version, protocol) in [
            ("1.9", Protocol::Frames),
            ("2.0", Protocol::Frames),
            ("2.7", Protocol::Frames),
            ("2.8", Protocol::Text),
            ("2.10", Protocol::Text),
            ("2.10.1", Protocol::Text),
            ("3.0rc1", Protocol::Json),
            ("3.0", Protocol::Json),
            ("999.0.0-developing", Protocol::Json),
        ] {
            assert_eq!(
                Release::parse(version).expect("supported").protocol(),
                protocol,
                "{version}"
            );
        }
    }

    #[test]
    fn other_versions_are_refused_by_name() {
        for version in ["1.8", "0.5", "4.0", "", "x.y", "3"] {
            let error = Release::parse(version).expect_err("not supported");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(version), "{error}");
        }
    }
}
