//! What a server is started with: names, credentials, limits and how long each state lasts.

use std::time::Duration;

/// A compute target of the workspace.
#[derive(Debug, Clone)]
pub struct Compute {
    /// Its name.
    pub name: String,
    /// Most nodes; jobs beyond wait in `Queued`.
    pub max_nodes: usize,
    /// Its instance types and the GPUs of each; the first one is the default. With any it is a Kubernetes compute.
    pub instance_types: Vec<(String, u32)>,
}

/// How long the states of a job last.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Each of `NotStarted`, `Starting`, `Provisioning`, `Preparing`, `Queued`.
    pub waiting: Duration,
    /// `Finalizing`.
    pub finalizing: Duration,
    /// `CancelRequested`, during which the processes go on. On the real platform this can be hours.
    pub canceling: Duration,
    /// Seconds in `Retry-After` of an accepted cancel. Real: 10 to 600.
    pub retry_after: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            waiting: Duration::from_millis(15),
            finalizing: Duration::from_millis(30),
            canceling: Duration::from_millis(60),
            retry_after: 10,
        }
    }
}

/// The setting of a server.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Base address in what the server answers, where a proxy stands before it, as `https://127.0.0.1:8443`.
    pub public: Option<String>,
    /// Subscription.
    pub subscription: String,
    /// Resource group.
    pub resource_group: String,
    /// Workspace.
    pub workspace: String,
    /// Region.
    pub location: String,
    /// Tenant.
    pub tenant: String,
    /// The application that may log in.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Its certificates, in PEM.
    pub certificates: Vec<String>,
    /// Issuer and subject of the tokens that its federated identity takes.
    pub federated: Option<(String, String)>,
    /// Client id of the managed identity of the machine, if it has one.
    pub managed_identity: Option<String>,
    /// How long access tokens live, to the second.
    pub token_life: Duration,
    /// Seconds between two polls of a device code; sooner is answered with `slow_down`.
    pub device_interval: u64,
    /// How long device codes are good, to the second. Real: 15 min.
    pub device_life: Duration,
    /// How long the SAS in answers live, to the second.
    pub sas_life: Duration,
    /// How long the token of a run lives.
    pub run_token_life: Duration,
    /// Compute targets.
    pub computes: Vec<Compute>,
    /// How long states last.
    pub pace: Pace,
    /// Jobs on a page of a list.
    pub page_size: usize,
    /// Reads an hour. Real: 12000.
    pub reads: u32,
    /// Writes an hour. Real: 1200.
    pub writes: u32,
    /// Storage without keys: no credentials in datastores and uploads, only tokens.
    pub identity_storage: bool,
    /// Whether jobs show the output `default` that the service adds.
    pub default_output: bool,
    /// Environment of the image, before that of the job.
    pub image_environment: Vec<(String, String)>,
}

impl Default for Setting {
    fn default() -> Self {
        let text = str::to_owned;
        Self {
            port: 0,
            public: None,
            subscription: text("11111111-2222-3333-4444-555555555555"),
            resource_group: text("team"),
            workspace: text("trials"),
            location: text("westeurope"),
            tenant: text("99999999-8888-7777-6666-555555555555"),
            client_id: text("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
            client_secret: text("correct horse~battery.staple"),
            certificates: Vec::new(),
            federated: None,
            managed_identity: None,
            token_life: Duration::from_hours(1),
            device_interval: 1,
            device_life: Duration::from_mins(15),
            sas_life: Duration::from_hours(1),
            run_token_life: Duration::from_hours(1),
            computes: vec![Compute {
                name: text("cpu-cluster"),
                max_nodes: 64,
                instance_types: Vec::new(),
            }],
            pace: Pace::default(),
            page_size: 10,
            reads: 12_000,
            writes: 1_200,
            identity_storage: false,
            default_output: true,
            image_environment: vec![
                (
                    text("PATH"),
                    text("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
                ),
                (text("LANG"), text("C.UTF-8")),
            ],
        }
    }
}
