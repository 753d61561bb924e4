//! The volumes of a pod as folders: made before its first container, and where each container finds them.
//!
//! Contents of ConfigMaps and Secrets are plain files, written once: later changes of the objects do not arrive. `readOnly` is not
//! enforced. Sources: kubernetes v1.20, `pkg/volume/{configmap,secret,projected,azure_file}`; `pkg/kubelet/kubelet_pods.go`,
//! `makeMounts`, for `subPath`.

use super::{
    environment,
    expand::expand,
    mounts::Mounts,
    shared::{Shared, SharedVolume, inside},
};
use k8s_openapi::{
    ByteString,
    api::{
        authentication::v1::TokenRequest,
        core::v1::{
            Container, DownwardAPIVolumeFile, KeyToPath, Pod, ServiceAccount, ServiceAccountTokenProjection, Volume,
        },
    },
};
use kube::{Api, api::PostParams};
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The folders of the volumes, by name.
pub(super) type Volumes = HashMap<String, PathBuf>;

/// Makes all volumes of a pod below `dir`, or finds them again.
///
/// # Errors
/// The message of the event `FailedMount`.
pub(super) async fn set_up(shared: &Shared, pod: &Pod, ip: &str, dir: &Path) -> Result<Volumes, String> {
    let mut volumes = Volumes::new();
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let maker = Maker {
            shared,
            pod,
            namespace: pod.metadata.namespace.as_deref().unwrap_or_default(),
            ip,
            dir: dir.join(&volume.name),
        };
        let place = maker
            .volume(volume)
            .await
            .map_err(|why| format!("MountVolume.SetUp failed for volume \"{}\" : {why}", volume.name))?;
        volumes.insert(volume.name.clone(), place);
    }
    Ok(volumes)
}

/// Where a container finds its volumes.
///
/// # Errors
/// The message of `CreateContainerConfigError`.
pub(super) fn mounts(container: &Container, volumes: &Volumes, env: &[(String, String)]) -> Result<Mounts, String> {
    let mut places = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let volume = volumes.get(&mount.name);
        let volume = volume.ok_or_else(|| format!("cannot find volume \"{}\" to mount into container", mount.name))?;
        let value = |name: &str| {
            env.iter()
                .rfind(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
        };
        let below = mount
            .sub_path_expr
            .as_ref()
            .map(|text| expand(text, value))
            .or_else(|| mount.sub_path.clone());
        let place = match below.filter(|below| !below.is_empty()) {
            Some(below) => inside(volume, &below),
            None => volume.clone(),
        };
        if !place.exists() {
            fs::create_dir_all(&place)
                .map_err(|error| format!("failed to prepare subPath for volumeMount: {error}"))?;
        }
        places.push((mount.mount_path.clone(), place));
    }
    Ok(Mounts::new(places))
}

struct Maker<'a> {
    shared: &'a Shared,
    pod: &'a Pod,
    namespace: &'a str,
    ip: &'a str,
    dir: PathBuf,
}

impl Maker<'_> {
    async fn volume(&self, volume: &Volume) -> Result<PathBuf, String> {
        if let Some(source) = &volume.host_path {
            let path = PathBuf::from(&source.path);
            return match source.type_.as_deref() {
                Some("DirectoryOrCreate") => fs::create_dir_all(&path)
                    .map(|()| path)
                    .map_err(|error| error.to_string()),
                Some("Directory") if !path.is_dir() => Err(format!(
                    "hostPath type check failed: {} is not a directory",
                    source.path
                )),
                _ => Ok(path),
            };
        }
        if let Some(claim) = &volume.persistent_volume_claim {
            return self.shared_volume(&SharedVolume::Claim {
                namespace: self.namespace,
                name: &claim.claim_name,
            });
        }
        if let Some(nfs) = &volume.nfs {
            return self.shared_volume(&SharedVolume::Nfs {
                server: &nfs.server,
                path: &nfs.path,
            });
        }
        if let Some(azure) = &volume.azure_file {
            self.check_account(&azure.secret_name).await?;
            return self.shared_volume(&SharedVolume::AzureFile {
                share: &azure.share_name,
            });
        }
        fs::create_dir_all(&self.dir).map_err(|error| error.to_string())?;
        if let Some(source) = &volume.config_map {
            let mode = source.default_mode.unwrap_or(0o644);
            self.config_map(&source.name, source.items.as_deref(), source.optional, mode)
                .await?;
        } else if let Some(source) = &volume.secret {
            let name = source.secret_name.as_deref().unwrap_or_default();
            let mode = source.default_mode.unwrap_or(0o644);
            self.secret(name, source.items.as_deref(), source.optional, mode)
                .await?;
        } else if let Some(source) = &volume.downward_api {
            self.fields(source.items.as_deref(), source.default_mode.unwrap_or(0o644))?;
        } else if let Some(source) = &volume.projected {
            let mode = source.default_mode.unwrap_or(0o644);
            for part in source.sources.iter().flatten() {
                if let Some(part) = &part.config_map {
                    self.config_map(&part.name, part.items.as_deref(), part.optional, mode)
                        .await?;
                } else if let Some(part) = &part.secret {
                    self.secret(&part.name, part.items.as_deref(), part.optional, mode)
                        .await?;
                } else if let Some(part) = &part.downward_api {
                    self.fields(part.items.as_deref(), mode)?;
                } else if let Some(part) = &part.service_account_token {
                    self.token(part, mode).await?;
                }
            }
        } else if volume.empty_dir.is_none() {
            return Err("this node knows no such kind of volume".to_owned());
        }
        Ok(self.dir.clone())
    }

    fn shared_volume(&self, volume: &SharedVolume<'_>) -> Result<PathBuf, String> {
        self.shared.volume(volume).map_err(|error| error.to_string())
    }

    async fn check_account(&self, name: &str) -> Result<(), String> {
        let namespace = self.namespace;
        let secret = environment::secret(self.shared, namespace, name).await?;
        let secret = secret.ok_or_else(|| format!("Couldn't get secret {namespace}/{name}"))?;
        let data = secret.data.unwrap_or_default();
        let complete = ["azurestorageaccountname", "azurestorageaccountkey"]
            .iter()
            .all(|key| data.contains_key(*key));
        complete.then_some(()).ok_or_else(|| {
            format!("Invalid {namespace}/{name} couldn't extract azurestorageaccountname or azurestorageaccountkey")
        })
    }

    async fn config_map(
        &self,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: Option<bool>,
        mode: i32,
    ) -> Result<(), String> {
        let Some(map) = environment::config_map(self.shared, self.namespace, name).await? else {
            return absent(optional, || format!("configmap \"{name}\" not found"));
        };
        let mut files = map.binary_data.unwrap_or_default();
        let texts = map.data.unwrap_or_default();
        files.extend(
            texts
                .into_iter()
                .map(|(key, value)| (key, ByteString(value.into_bytes()))),
        );
        self.files(&files, items, optional, mode, "config")
    }

    async fn secret(
        &self,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: Option<bool>,
        mode: i32,
    ) -> Result<(), String> {
        let Some(secret) = environment::secret(self.shared, self.namespace, name).await? else {
            return absent(optional, || format!("secret \"{name}\" not found"));
        };
        self.files(&secret.data.unwrap_or_default(), items, optional, mode, "secret")
    }

    fn files(
        &self,
        files: &BTreeMap<String, ByteString>,
        items: Option<&[KeyToPath]>,
        optional: Option<bool>,
        mode: i32,
        kind: &str,
    ) -> Result<(), String> {
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            let mut all = files.iter();
            return all
                .try_for_each(|(key, value)| self.write(key, &value.0, mode))
                .map_err(|error| error.to_string());
        };
        for item in items {
            match files.get(&item.key) {
                Some(value) => {
                    let written = self.write(&item.path, &value.0, item.mode.unwrap_or(mode));
                    written.map_err(|error| error.to_string())?;
                }
                None => absent(optional, || format!("references non-existent {kind} key: {}", item.key))?,
            }
        }
        Ok(())
    }

    fn fields(&self, items: Option<&[DownwardAPIVolumeFile]>, mode: i32) -> Result<(), String> {
        for item in items.unwrap_or_default() {
            let path = item.field_ref.as_ref().map_or("", |field| field.field_path.as_str());
            let value = environment::field(self.pod, path, self.ip);
            let value = value.ok_or_else(|| format!("unsupported fieldPath: {path}"))?;
            let written = self.write(&item.path, value.as_bytes(), item.mode.unwrap_or(mode));
            written.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    async fn token(&self, wanted: &ServiceAccountTokenProjection, mode: i32) -> Result<(), String> {
        let spec = self.pod.spec.as_ref();
        let account = spec
            .and_then(|spec| spec.service_account_name.as_deref())
            .unwrap_or("default");
        let metadata = &self.pod.metadata;
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {},
            "spec": {
                "audiences": wanted.audience.as_ref().map_or_else(Vec::new, |audience| vec![audience]),
                "expirationSeconds": wanted.expiration_seconds.unwrap_or(3600),
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": metadata.name, "uid": metadata.uid},
            },
        });
        let api = Api::<ServiceAccount>::namespaced(self.shared.client.clone(), self.namespace);
        let answer: Result<TokenRequest, _> = api
            .create_subresource("token", account, &PostParams::default(), &request)
            .await;
        let token = match answer {
            Ok(answer) => answer.status.map(|status| status.token).unwrap_or_default(),
            Err(error) => return Err(format!("failed to fetch token: {error}")),
        };
        self.write(&wanted.path, token.as_bytes(), mode)
            .map_err(|error| error.to_string())
    }

    /// Writes a file of the volume.
    fn write(&self, path: &str, content: &[u8], mode: i32) -> io::Result<()> {
        let path = inside(&self.dir, path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode.unsigned_abs()))
    }
}

fn absent(optional: Option<bool>, message: impl FnOnce() -> String) -> Result<(), String> {
    if optional == Some(true) { Ok(()) } else { Err(message()) }
}
