//! `AmlConfig`: which workspace and compute target, which image, and who we are there.
//!
//! Reading it from both schemas of an experiment file is in `config/read.rs`.

mod read;

pub(crate) use read::TRIAL_KEYS as V1_TRIAL_KEYS;

use std::{path::PathBuf, time::Duration};
use ts_core::{
    config::{PlatformSection, Problems, SecretRef},
    http::Url,
};

/// Settings of an experiment on Azure ML.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AmlConfig {
    /// Id of the subscription.
    pub subscription_id: String,
    /// Name of the resource group.
    pub resource_group: String,
    /// Name of the workspace.
    pub workspace_name: String,
    /// Name of an existing compute target.
    pub compute_target: String,
    /// Which instance type of a Kubernetes compute runs the jobs. Default: the compute's own default. Clusters of virtual machines
    /// have none.
    pub instance_type: Option<String>,
    /// Container image; it needs `sh` and `tar`.
    pub image: String,
    /// Who we are. Default: [`Credential::Default`].
    pub credential: Credential,
    /// Where the services are, unless the environment is asked. Default: the public cloud.
    pub cloud: Cloud,
    /// Whether the environment is asked where the services are. Default: no; a file of an experiment has it asked.
    pub lookup: Option<Lookup>,
    /// Certificate authorities in PEM, trusted beside the machine's.
    pub ca_file: Option<PathBuf>,
    /// Least time between two lists of the jobs. Default 5 s, as NNI.
    pub poll_interval: Duration,
    /// Time between two looks at what running trials have written. Default 2 s.
    pub pull_interval: Duration,
    /// Whether jobs stay and run other trials. Default false, unlike NNI.
    pub reuse: bool,
    /// Most trials on one GPU of such a job at a time. Default 1, as NNI.
    pub max_trials_per_gpu: u32,
    /// Whether GPUs on which somebody else computes may be used. Default false.
    pub use_active_gpu: bool,
    /// Most trials without GPUs in such a job at a time. Default 1, as NNI.
    pub max_trials_per_node: u32,
    /// How long such a job waits for another trial before it ends. Default 2 min.
    pub idle_timeout: Duration,
    /// How many such jobs may be on their way to their first trial at a time. Default 64.
    pub most_starting: usize,
    /// Time between the request to end and the forced end of a trial in such a job. Default 5 s.
    pub grace_period: Duration,
    /// How long a job that was taken may be unknown to the service before it counts as lost. Default 60 s.
    pub vanish_after: Duration,
}

/// Addresses of a cloud's services.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cloud {
    /// Azure Resource Manager; also what tokens are for.
    pub arm: Url,
    /// What tokens for Resource Manager are for; differs from `arm` where that is reached by another address.
    pub audience: String,
    /// Entra ID.
    pub login: Url,
    /// Identity of a virtual machine; never asked through a proxy. `None`: the address that all of them have.
    pub imds: Option<Url>,
}

/// What the environment is asked for: `ARM_CLOUD_METADATA_URL`, the address of a document that describes clouds, and
/// `AZUREML_CURRENT_CLOUD`, the name of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lookup {
    /// Which cloud. Default: the one that the environment names, else the first of the document, else `AzureCloud`.
    pub name: Option<String>,
    /// Where Resource Manager is instead.
    pub arm: Option<Url>,
    /// Where Entra ID is instead.
    pub login: Option<Url>,
}

/// What shows that we may act.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Credential {
    /// What `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` with `AZURE_CLIENT_SECRET`, `AZURE_CLIENT_CERTIFICATE_PATH` or
    /// `AZURE_FEDERATED_TOKEN_FILE` say, else the login of `az`.
    Default,
    /// A service principal with a secret.
    ClientSecret {
        /// Id of the tenant.
        tenant: String,
        /// Id of the application.
        client: String,
        /// Its secret.
        secret: SecretRef,
    },
    /// A service principal with a certificate.
    ClientCertificate {
        /// Id of the tenant.
        tenant: String,
        /// Id of the application.
        client: String,
        /// Its certificate and RSA key in PEM; read again for each request.
        certificate: SecretRef,
    },
    /// A person, who enters a code in a browser.
    DeviceCode {
        /// Id of the tenant, or `organizations`.
        tenant: String,
        /// Id of a public client.
        client: String,
    },
    /// A workload identity: a token of another issuer is exchanged.
    Federated {
        /// Id of the tenant.
        tenant: String,
        /// Id of the application.
        client: String,
        /// The file with the other issuer's token; read again for each request.
        token: SecretRef,
    },
    /// The identity of this machine, or the one of them that has this client id.
    ManagedIdentity {
        /// Client id of a user-assigned identity.
        client: Option<String>,
    },
    /// The login of the Azure command line.
    AzureCli,
}

impl Cloud {
    /// Clouds that everybody knows; the public one first.
    pub const NAMES: [&'static str; 3] = ["AzureCloud", "AzureChinaCloud", "AzureUSGovernment"];

    /// One of [`Cloud::NAMES`].
    ///
    /// Source: azure-cli 2.60, `azure/cli/core/cloud.py`.
    pub fn named(name: &str) -> Option<Self> {
        let (arm, login) = match name {
            "AzureCloud" => ("https://management.azure.com/", "https://login.microsoftonline.com/"),
            "AzureChinaCloud" => (
                "https://management.chinacloudapi.cn/",
                "https://login.chinacloudapi.cn/",
            ),
            "AzureUSGovernment" => (
                "https://management.usgovcloudapi.net/",
                "https://login.microsoftonline.us/",
            ),
            _ => return None,
        };
        Some(Self::at(Url::parse(arm).ok()?, arm, Url::parse(login).ok()?))
    }

    /// A cloud at these addresses.
    pub fn at(arm: Url, audience: &str, login: Url) -> Self {
        Self {
            arm,
            audience: audience.to_owned(),
            login,
            imds: None,
        }
    }
}

impl AmlConfig {
    /// Jobs on a compute target of a workspace.
    pub fn new(
        subscription_id: impl Into<String>,
        resource_group: impl Into<String>,
        workspace_name: impl Into<String>,
        compute_target: impl Into<String>,
        image: impl Into<String>,
        cloud: Cloud,
    ) -> Self {
        Self {
            subscription_id: subscription_id.into(),
            resource_group: resource_group.into(),
            workspace_name: workspace_name.into(),
            compute_target: compute_target.into(),
            instance_type: None,
            image: image.into(),
            credential: Credential::Default,
            cloud,
            lookup: None,
            ca_file: None,
            poll_interval: Duration::from_secs(5),
            pull_interval: Duration::from_secs(2),
            reuse: false,
            max_trials_per_gpu: 1,
            use_active_gpu: false,
            max_trials_per_node: 1,
            idle_timeout: Duration::from_mins(2),
            most_starting: 64,
            grace_period: ts_core::DEFAULT_GRACE,
            vanish_after: Duration::from_mins(1),
        }
    }

    /// Reads the platform's section of an experiment file; all problems go to `problems`. `None` only beside a problem.
    pub fn read(section: &PlatformSection, problems: &mut Problems) -> Option<Self> {
        read::read(section, problems)
    }
}
