#![doc = include_str!("../README.md")]

mod files;

/// `Content-Security-Policy` of every file: nothing from elsewhere, nothing inline, and text never becomes markup.
///
/// `trusted-types 'none'` makes browsers that know it refuse `innerHTML` and its kin whatever the code does.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// A file of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// Value of `Content-Type`.
    pub content_type: &'static str,
    /// The file.
    pub bytes: &'static [u8],
    hash: u64,
}

impl Asset {
    /// Value of `ETag`, with its quotes; another whenever the bytes are others.
    pub fn etag(&self) -> String {
        format!("\"{:016x}\"", self.hash)
    }
}

/// The file of a path without its leading slash; the empty path is the page itself.
pub fn file(path: &str) -> Option<Asset> {
    let path = if path.is_empty() { files::PAGE } else { path };
    let index = files::FILES.binary_search_by_key(&path, |(name, _)| name).ok()?;
    let (name, bytes) = files::FILES[index];
    Some(Asset {
        content_type: content_type(name),
        bytes,
        hash: fnv1a(bytes),
    })
}

/// Paths of all files.
pub fn paths() -> impl Iterator<Item = &'static str> {
    files::FILES.iter().map(|(name, _)| *name)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// FNV-1a with 64 bits: tells versions of our own files apart, which nobody forges.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
