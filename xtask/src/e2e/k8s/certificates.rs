//! Keys and certificates of a cluster, and the files with which users come in. They are worth nothing elsewhere.

use super::sandbox::NODE_ADDRESS;
use crate::shell;
use anyhow::Result;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::{fs, path::Path, process::Command};

/// Sections for each kind of certificate. rustls accepts a server by an alternative name only, addresses included.
/// Source: rustls-webpki 0.103, `verify_is_valid_for_subject_name`.
const CONFIG: &str = "\
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1, IP:10.200.0.1, IP:10.96.0.1, DNS:localhost, DNS:node, DNS:kubernetes.default, \
DNS:kubernetes.default.svc, DNS:kubernetes.default.svc.cluster.local
[client]
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
";

/// Elliptic keys: an RSA key takes seconds at times.
const NEW_KEY: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/// Fills `folder`: an authority, a server of every address here, an administrator, and the key of service accounts' tokens.
pub(super) fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("config"), CONFIG)?;
    let openssl =
        |arguments: &[&str]| shell::output(Command::new("openssl").args(arguments).current_dir(folder)).map(drop);
    let authority = [
        "req",
        "-x509",
        "-config",
        "config",
        "-extensions",
        "authority",
        "-days",
        "30",
    ];
    openssl(
        &[
            &authority[..],
            NEW_KEY,
            &["-subj", "/CN=e2e", "-keyout", "ca.key", "-out", "ca.crt"],
        ]
        .concat(),
    )?;
    // The group's members may do anything.
    // Source: kubernetes v1.20.2, `staging/src/k8s.io/apiserver/pkg/authentication/user/user.go`, `SystemPrivilegedGroup`.
    for (name, subject, section) in [
        ("server", "/CN=server", "server"),
        ("admin", "/O=system:masters/CN=admin", "client"),
    ] {
        let [key, request, certificate] = ["key", "csr", "crt"].map(|extension| format!("{name}.{extension}"));
        let ask = [
            "req", "-config", "config", "-subj", subject, "-keyout", &key, "-out", &request,
        ];
        openssl(&[&ask[..], NEW_KEY].concat())?;
        let sign = [
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
        ];
        let how = [
            "-days",
            "30",
            "-extfile",
            "config",
            "-extensions",
            section,
            "-out",
            &certificate,
        ];
        openssl(&[&sign[..], &how].concat())?;
    }
    openssl(&[
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
        "accounts.key",
    ])?;
    openssl(&["pkey", "-in", "accounts.key", "-pubout", "-out", "accounts.pub"])
}

/// What the administrator comes in with, as in a kubeconfig.
pub(super) fn administrator(certificates: &Path) -> Result<Value> {
    Ok(json!({
        "client-certificate-data": data(certificates, "admin.crt")?,
        "client-key-data": data(certificates, "admin.key")?,
    }))
}

/// Writes a kubeconfig of this user, with all certificates in it, so that it can be copied.
pub(super) fn write_kubeconfig(certificates: &Path, file: &Path, user: &Value) -> Result<()> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "e2e",
        "clusters": [{ "name": "e2e", "cluster": {
            "server": format!("https://{NODE_ADDRESS}"),
            "certificate-authority-data": data(certificates, "ca.crt")?,
        }}],
        "users": [{ "name": "user", "user": user }],
        "contexts": [{ "name": "e2e", "context": { "cluster": "e2e", "user": "user" } }],
    });
    Ok(fs::write(file, serde_json::to_vec_pretty(&config)?)?)
}

fn data(certificates: &Path, name: &str) -> Result<String> {
    Ok(BASE64_STANDARD.encode(fs::read(certificates.join(name))?))
}
