//! The keys that both schemas spell and read the same way: logging, shared storage, and our own `tsctl` section.

use super::{
    files,
    model::{LocalMounted, LogLevel, RetryLimits, SharedStorage, SharedStorageKind},
    problems::Problems,
    section::{Key, Section},
    source::Schema,
};
use crate::{CodeDirectory, GpuCount, Platform};
use std::path::{Path, PathBuf};

pub(super) fn log_level(s: &mut Section<'_>, debug: bool) -> LogLevel {
    let default = if debug { "debug" } else { "info" };
    if !s.has("logLevel") {
        s.note_default("logLevel", default);
    }
    LogLevel::parse(s.choice("logLevel", &LogLevel::NAMES).unwrap_or(default))
}

/// The directory of all experiments; it need not exist.
pub(super) fn working_dir(s: &mut Section<'_>, key: Key) -> PathBuf {
    let is_given = s.has(key);
    let given = s.path(key);
    if is_given {
        return given.unwrap_or_default();
    }
    if let Ok(path) = s.source().resolve("~/nni-experiments") {
        s.note_default(key, path.to_string_lossy().into_owned());
        return path;
    }
    let message = "the home directory is not known, so there is no default";
    s.problem(key, message, "write an absolute path");
    PathBuf::new()
}

pub(super) fn gpu_count(s: &mut Section<'_>, key: Key) -> GpuCount {
    s.u32(key, 0..=99_999).map_or(GpuCount::Unset, GpuCount::Exactly)
}

/// Annotations were removed from NNI in v3.0, and need Python to be read.
pub(super) fn refuse_annotation(s: &mut Section<'_>) {
    if s.bool_or("useAnnotation", false) {
        s.problem(
            "useAnnotation",
            "annotations in the trial code are not supported, as in NNI 3.0",
            "write the search space to a file, name it here, and take parameters in the trial with \
             `nni.get_next_parameter()`; then set `useAnnotation: false`",
        );
    }
}

/// Reports a code directory that is none.
pub(super) fn check_code_directory(s: &mut Section<'_>, key: Key, path: &Path) {
    if s.problems().needs_code() && !path.as_os_str().is_empty() && !files::is_directory(path) {
        s.problem(
            key,
            format!("the code directory `{}` is no directory", path.display()),
            "create it, or correct the path; relative paths start at the directory of the configuration file",
        );
    }
}

/// Our own section: what NNI has no key for.
#[derive(Debug, Default)]
pub(super) struct Own {
    limits: Option<(u32, u64, bool)>,
    pub(super) retry: RetryLimits,
    pub(super) seed: Option<u64>,
    pub(super) python: Option<String>,
    pub(super) prefer_nni: bool,
    pub(super) trial_channel: bool,
    /// Schema 2 only: schema 1 has a key of NNI's.
    pub(super) multi_phase: bool,
}

impl Own {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        s.section("tsctl", |s| {
            let limits = s.section("codeLimits", |s| {
                let default = CodeDirectory::new("");
                let bytes = s.bytes("maxBytes").unwrap_or(default.max_bytes);
                (
                    s.u32_or("maxEntries", 1..=u32::MAX, default.max_entries),
                    bytes,
                    s.bool_or("ignoreCase", default.ignore_case),
                )
            });
            let retry = s.section("retry", |s| {
                let default = RetryLimits::default();
                let mut limit = |key: &'static str, default| s.u32_or(key, 0..=1000, default);
                RetryLimits {
                    user_code: limit("userCode", default.user_code),
                    memory: limit("memory", default.memory),
                    platform: limit("platform", default.platform),
                    configuration: limit("configuration", default.configuration),
                }
            });
            let seed = s.int("seed", 0..=i64::MAX).and_then(|n| u64::try_from(n).ok());
            // A bare name is looked for on the path.
            let python = match s.string("python") {
                Some(python) if python.contains(['/', '~']) => {
                    s.path("python").map(|path| path.to_string_lossy().into_owned())
                }
                python => python,
            };
            Self {
                limits,
                retry: retry.unwrap_or_default(),
                seed,
                python,
                prefer_nni: s.bool_or("preferNni", false),
                trial_channel: s.bool_or("trialChannel", false),
                multi_phase: s.schema() == Schema::V2 && s.bool_or("multiPhase", false),
            }
        })
        .unwrap_or_default()
    }

    pub(super) fn code(&self, path: PathBuf) -> CodeDirectory {
        let mut code = CodeDirectory::new(path);
        if let Some((entries, bytes, ignore_case)) = self.limits {
            code.max_entries = entries;
            code.max_bytes = bytes;
            code.ignore_case = ignore_case;
        }
        code
    }
}

pub(super) fn shared_storage(s: &mut Section<'_>) -> Option<SharedStorage> {
    s.section("sharedStorage", |s| {
        let there = s.has("storageType");
        let kind = s.choice("storageType", &["NFS", "AzureBlob"]);
        if !there {
            s.problem(
                "storageType",
                "the key `storageType` is missing",
                "add `storageType: NFS` or `AzureBlob`",
            );
        }
        let kind = match kind {
            Some("NFS") => Some(SharedStorageKind::Nfs {
                server: s.required_string("nfsServer"),
                exported_directory: s.required_string("exportedDirectory"),
            }),
            Some(_) => {
                // Written by files of NNI 2.2 to 2.4, read by no version.
                let group = s.string("resourceGroupName");
                if group.is_some() {
                    s.warn(
                        "resourceGroupName",
                        "`resourceGroupName` has no effect",
                        "remove the key",
                    );
                }
                Some(SharedStorageKind::AzureBlob {
                    account: s.required_string("storageAccountName"),
                    key: s.secret("storageAccountKey"),
                    container: s.required_string("containerName"),
                })
            }
            None => {
                s.rest();
                None
            }
        };
        let local_mounted = match s.choice("localMounted", &["usermount", "nnimount", "nomount"]) {
            Some("nnimount") => LocalMounted::NniMount,
            Some("nomount") => LocalMounted::NoMount,
            _ => LocalMounted::UserMount,
        };
        Some(SharedStorage {
            local_mount_point: s.required_path("localMountPoint"),
            remote_mount_point: s.required_string("remoteMountPoint"),
            local_mounted,
            kind: kind?,
        })
    })
    .flatten()
}

/// The platform of this name, or a problem that lists the known ones.
pub(super) fn find_platform<'a>(
    platforms: &'a [Platform],
    name: &str,
    fail: impl FnOnce(String, String),
) -> Option<&'a Platform> {
    let found = platforms.iter().find(|p| p.name == name || p.aliases.contains(&name));
    if found.is_none() && !name.is_empty() {
        let near = super::nearest(name, platforms.iter().map(|p| p.name));
        let known = platforms.iter().map(|p| p.name).collect::<Vec<_>>().join(", ");
        let help = match near {
            Some(near) => format!("did you mean `{near}`? known platforms: {known}"),
            None => format!("known platforms: {known}"),
        };
        fail(format!("the platform `{name}` is unknown"), help);
    }
    found
}

/// Lets every platform check its own section.
pub(super) fn check_platforms(sections: &[super::PlatformSection], platforms: &[Platform], problems: &mut Problems) {
    for section in sections {
        if let Some(platform) = platforms.iter().find(|p| p.name == section.platform()) {
            (platform.check)(section, problems);
        }
    }
}
