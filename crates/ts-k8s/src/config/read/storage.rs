//! `storage` and its neighbors: one flat map in schema 2, a word and a map of its own for each kind in schema 1.
//!
//! Source: nni v1.9, `tools/nni_cmd/config_schema.py`; nni v3.0, `nni/experiment/config/training_services/k8s_storage.py`.
//! Storage is optional here: without it the code is streamed into each pod.

use super::{
    names::{self, Check},
    values,
};
use crate::config::{AzureKey, DEFAULT_MOUNT, Storage, StorageKind};
use ts_core::config::{Key, Schema, SecretRef, Section};

const KINDS: [&str; 3] = ["nfs", "azureStorage", "pvc"];
const CLAIM_HELP: &str = "add `claimName:` with the name of a PersistentVolumeClaim of the namespace";

/// The storage of the section; `claim_at` finds the claim that a Framework of the user's mounts at a path.
pub(super) fn read(s: &mut Section<'_>, claim_at: impl FnOnce(&str) -> Option<String>) -> Option<Storage> {
    let mut mounted_at = None;
    let kind = match s.schema() {
        Schema::V1 => v1(s, claim_at, &mut mounted_at),
        Schema::V2 => s.section("storage", v2).flatten(),
    };
    let is_given = kind.is_some() || KINDS.iter().any(|key| s.has(*key)) || s.has("storage");
    if s.has("mountPath") && !is_given {
        s.ignored("mountPath", "there is no storage");
        return None;
    }
    let own = values::named(s, "mountPath", "where storage is mounted", names::mount_path);
    let mount_path = own.or(mounted_at).unwrap_or_else(|| DEFAULT_MOUNT.to_owned());
    if is_given && !s.has("mountPath") {
        s.note_default("mountPath", mount_path.as_str());
    }
    Some(Storage {
        kind: kind?,
        mount_path,
    })
}

fn v1(
    s: &mut Section<'_>,
    claim_at: impl FnOnce(&str) -> Option<String>,
    mounted_at: &mut Option<String>,
) -> Option<StorageKind> {
    let is_named = s.has("storage");
    let named = s.choice(Key::from("storage").migrates_to("storage.storageType"), &KINDS);
    // NNI's default is `nfs`; where only another one's map is there, that one is meant.
    let chosen = match named {
        Some(kind) => kind,
        None => KINDS.into_iter().find(|key| s.has(*key)).filter(|_| !is_named)?,
    };
    for other in KINDS.into_iter().filter(|other| *other != chosen) {
        s.ignored(other, &format!("the storage is `{chosen}`"));
    }
    if chosen != "azureStorage" {
        s.ignored("keyVault", &format!("the storage is `{chosen}`"));
    }
    if named.is_none() {
        s.migrates_with("storage.storageType", chosen);
    }
    let section = |name: &'static str| Key::from(name).migrates_to("storage");
    match chosen {
        "nfs" => s.required_section(section("nfs"), nfs),
        "azureStorage" => azure_v1(s),
        _ => s
            .required_section(section("pvc"), |s| claim_v1(s, claim_at, mounted_at))
            .flatten(),
    }
}

fn v2(s: &mut Section<'_>) -> Option<StorageKind> {
    const OF_NFS: &[&str] = &["server", "path"];
    const OF_AZURE: &[&str] = &[
        "azureAccount",
        "azureShare",
        "keyVaultName",
        "keyVaultKey",
        "azureStorageKey",
        "secretName",
    ];
    const OF_CLAIM: &[&str] = &["claimName", "path"];
    // NNI's typed classes write the kind under `storage`.
    let is_named = s.has("storageType") || s.has("storage");
    let (named, other) = (
        s.choice("storageType", &KINDS),
        s.choice(Key::from("storage").migrates_to("storageType"), &KINDS),
    );
    if let (Some(one), Some(other)) = (named, other)
        && one != other
    {
        let help = "keep `storageType`, which is the same";
        s.problem(
            "storage",
            format!("`storageType` is `{one}`, `storage` is `{other}`"),
            help,
        );
    }
    let Some(chosen) = named.or(other) else {
        for key in [OF_NFS, OF_AZURE, OF_CLAIM].concat() {
            s.node(key);
        }
        if !is_named {
            let help = "add `storageType: nfs`, `azureStorage` or `pvc`";
            s.problem("storageType", "the key `storageType` is missing", help);
        }
        return None;
    };
    let own = match chosen {
        "nfs" => OF_NFS,
        "azureStorage" => OF_AZURE,
        _ => OF_CLAIM,
    };
    for key in [OF_NFS, OF_AZURE, OF_CLAIM].concat() {
        if !own.contains(&key) && s.has(key) {
            s.node(key);
            let help = "remove the key, or correct `storageType`";
            s.problem(key, format!("storage of the type `{chosen}` has no `{key}`"), help);
        }
    }
    match chosen {
        "nfs" => Some(nfs(s)),
        "azureStorage" => {
            let account = values::required_named(s, "azureAccount", "a storage account", names::azure_account);
            let share = values::required_named(s, "azureShare", "a share", names::azure_share);
            let has_vault = s.has("keyVaultName") || s.has("keyVaultKey");
            let vault = has_vault.then(|| AzureKey::KeyVault {
                vault: values::required_named(s, "keyVaultName", "a vault", names::azure_vault),
                secret: values::required_named(s, "keyVaultKey", "a secret of a vault", names::azure_secret),
            });
            let key = azure_key(s, vault, "`keyVaultName` and `keyVaultKey`")?;
            Some(StorageKind::AzureFiles { account, share, key })
        }
        _ => {
            let name = values::required_named(s, "claimName", "a claim", names::dns_subdomain);
            let sub_path = values::named(s, "path", "a directory in the volume", names::relative_path);
            Some(StorageKind::Claim {
                name,
                sub_path: sub_path.unwrap_or_default(),
            })
        }
    }
}

fn nfs(s: &mut Section<'_>) -> StorageKind {
    StorageKind::Nfs {
        server: values::required_named(s, "server", "a server", names::server),
        path: values::required_named(s, "path", "an exported directory", names::absolute_path),
    }
}

fn azure_v1(s: &mut Section<'_>) -> Option<StorageKind> {
    let vault = s.section(Key::from("keyVault").migrates_to("storage"), |s| AzureKey::KeyVault {
        vault: values::required_named(
            s,
            Key::from("vaultName").migrates_to("keyVaultName"),
            "a vault",
            names::azure_vault,
        ),
        secret: values::required_named(
            s,
            Key::from("name").migrates_to("keyVaultKey"),
            "a secret of a vault",
            names::azure_secret,
        ),
    });
    s.required_section(Key::from("azureStorage").migrates_to("storage"), |s| {
        Some(StorageKind::AzureFiles {
            account: values::required_named(
                s,
                Key::from("accountName").migrates_to("azureAccount"),
                "a storage account",
                names::azure_account,
            ),
            share: values::required_named(s, "azureShare", "a share", names::azure_share),
            key: azure_key(s, vault, "the section `keyVault`")?,
        })
    })
    .flatten()
}

/// The one source of the account's key.
fn azure_key(s: &mut Section<'_>, vault: Option<AzureKey>, vault_keys: &str) -> Option<AzureKey> {
    let is_any = vault.is_some() || s.has("azureStorageKey") || s.has("secretName");
    let given = s.secret("azureStorageKey");
    if matches!(&given, Some(SecretRef::Literal(key)) if key.expose().trim().is_empty()) {
        s.problem(
            "azureStorageKey",
            "the key is empty",
            "refer to it, such as `${env:NAME}`",
        );
    }
    let given = given.map(AzureKey::Given);
    let existing = values::named(s, "secretName", "a Secret", names::dns_subdomain).map(AzureKey::Existing);
    let mut sources = [vault, given, existing].into_iter().flatten();
    let key = sources.next();
    if sources.next().is_some() {
        let message = "the storage account's key is given in more than one way";
        s.problem("azureStorageKey", message, "keep one of them");
    }
    if !is_any {
        s.problem(
            "azureStorageKey",
            "there is no key for the storage account",
            format!(
                "add {vault_keys}, or `azureStorageKey: ${{env:NAME}}`, or `secretName:` of a Secret of the namespace with \
                 `azurestorageaccountname` and `azurestorageaccountkey`"
            ),
        );
    }
    key
}

/// NNI's `pvc` has one key, `path`: where containers see the volume. A relative one is taken for a directory in it.
fn claim_v1(
    s: &mut Section<'_>,
    claim_at: impl FnOnce(&str) -> Option<String>,
    mounted_at: &mut Option<String>,
) -> Option<StorageKind> {
    let path = s.string("path").unwrap_or_default();
    let is_mount = path.starts_with('/');
    if is_mount {
        // `mountPath` says it.
        s.node(Key::without_successor("path"));
    }
    let check: Check = if is_mount {
        names::mount_path
    } else {
        names::relative_path
    };
    if let Err(rule) = check(&path) {
        s.problem(
            "path",
            format!("`{}` cannot be the path of a claim", path.escape_debug()),
            rule,
        );
    }
    let is_named = s.has("claimName");
    let named = values::named(s, "claimName", "a claim", names::dns_subdomain);
    let found = named.or_else(|| {
        let claim = claim_at(&path).filter(|_| !is_named)?;
        s.migrates_with("storage.claimName", claim.as_str());
        Some(claim)
    });
    if found.is_none() && !is_named {
        s.problem(
            "claimName",
            "NNI's `pvc` names no claim, so nothing can be mounted",
            CLAIM_HELP,
        );
    }
    let sub_path = if is_mount {
        s.migrates_with("mountPath", path.as_str());
        *mounted_at = Some(path);
        String::new()
    } else {
        path
    };
    Some(StorageKind::Claim { name: found?, sub_path })
}
