//! Whom encrypted connections trust: the machine's authorities, and those of a file.

use crate::{Error, ErrorKind, Result};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject as _};
use rustls_platform_verifier::Verifier;
use std::{path::Path, sync::Arc};

/// `ca_file`: authorities in PEM beside the machine's. A machine without any is good enough for connections that are not encrypted.
pub(super) fn config(ca_file: Option<&Path>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(ErrorKind::Internal, "cannot prepare encrypted connections").with_source(e))?;
    let extra = ca_file.map(authorities).transpose()?.unwrap_or_default();
    match Verifier::new_with_extra_roots(extra.iter().cloned(), provider) {
        Ok(verifier) => Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth()),
        Err(error) => {
            tracing::debug!(%error, "this machine trusts no certificate authority");
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(extra);
            Ok(builder.with_root_certificates(roots).with_no_client_auth())
        }
    }
}

fn authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = std::fs::read(file).map_err(|e| Error::io("read", file, e))?;
    let read = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let wrong = |why: String| {
        let message = format!("`{}` holds no certificate authorities: {why}", file.display());
        Error::new(ErrorKind::Config, message)
            .with_help("give a file with `-----BEGIN CERTIFICATE-----` blocks (PEM), as `curl --cacert` takes it")
    };
    match read {
        Ok(found) if found.is_empty() => Err(wrong("there is no certificate in it".into())),
        Ok(found) => Ok(found),
        Err(e) => Err(wrong(e.to_string())),
    }
}
