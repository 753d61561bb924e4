#![doc = include_str!("../README.md")]

mod config;

pub use config::{
    Access, AzureKey, CompletionPolicy, DeletionPolicy, JobKind, KubernetesConfig, Pods, Role, Storage, StorageKind,
};
