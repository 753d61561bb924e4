//! What a key of a storage account looks like, so that a wrong secret is refused before pods wait for their mount.
//!
//! Where the key comes from is not known here.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ts_core::{Error, ErrorKind, Result, Secret};

/// Bytes of a key.
///
/// Source: Microsoft Learn, "Manage storage account access keys": two keys of 512 bits.
const LENGTH: usize = 64;

/// The key without the blanks and line ends around it; `named` says in an error where it was found.
///
/// # Errors
/// `Config` if it is no key.
pub(crate) fn check(secret: &Secret, named: &str) -> Result<Secret> {
    let text = secret.expose().trim();
    let flaw = match STANDARD.decode(text) {
        Ok(bytes) if bytes.len() == LENGTH => return Ok(Secret::new(text)),
        _ if text.is_empty() => "it is empty".to_owned(),
        _ if text.contains("AccountKey=") => {
            "it is a connection string; only what follows `AccountKey=` is wanted".to_owned()
        }
        _ if text.contains("sig=") => {
            "it is a shared access signature, with which a share cannot be mounted".to_owned()
        }
        Ok(bytes) => format!("it has {} bytes instead of {LENGTH}", bytes.len()),
        Err(_) => "it is not Base64".to_owned(),
    };
    let message = format!("{named} is no key of a storage account: {flaw}");
    Err(Error::new(ErrorKind::Config, message)
        .with_help("store `key1` or `key2` as `az storage account keys list --account-name …` shows it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_without_the_line_end_around_it() {
        let key = STANDARD.encode([7; LENGTH]);
        for text in [key.clone(), format!("{key}\n"), format!(" {key}\r\n")] {
            assert_eq!(check(&Secret::new(text), "k").unwrap().expose(), key);
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_flaw_and_never_shown() {
        let key = STANDARD.encode([7; LENGTH]);
        let table = [
            (" \n".to_owned(), "is empty"),
            ("hunter2!".to_owned(), "not Base64"),
            (key[..84].to_owned(), "63 bytes instead of 64"),
            (format!("{key}{key}"), "not Base64"),
            (
                format!("DefaultEndpointsProtocol=https;AccountName=a;AccountKey={key}"),
                "connection string",
            ),
            ("?sv=2022-11-02&ss=f&sig=abc%3D".to_owned(), "shared access signature"),
        ];
        for (text, flaw) in table {
            let error = check(&Secret::new(text.clone()), "the secret `s`").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.message().contains(flaw), "{error}");
            let shown = format!("{error} {error:?}");
            assert!(text.trim().is_empty() || !shown.contains(text.trim()), "{shown}");
        }
    }
}
