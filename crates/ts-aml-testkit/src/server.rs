//! A server: its start, its addresses, and its end, which takes all processes of jobs along.

use crate::{
    connection::{Peer, Port},
    handler, life,
    setting::Setting,
    shared::Shared,
    world::{ACCOUNT, BLOBSTORE},
};
use axum::Router;
use std::{io, sync::Arc};
use tempfile::TempDir;

/// The platform. It ends, with all jobs, when this is dropped.
#[derive(Debug)]
pub struct AmlServer {
    pub(crate) shared: Arc<Shared>,
    local: String,
    _sandbox: TempDir,
}

impl AmlServer {
    /// Starts one on the loopback interface.
    ///
    /// # Errors
    /// If the port is taken, or no folder for jobs can be made.
    #[expect(clippy::disallowed_methods, reason = "the task ends with the server")]
    pub async fn start(setting: Setting) -> io::Result<Self> {
        let port = Port::open(setting.port).await?;
        let local = format!("http://{}", port.address());
        let base = setting.public.clone().unwrap_or_else(|| local.clone());
        let sandbox = TempDir::with_prefix("aml-")?;
        let shared = Arc::new(Shared::new(setting, base, sandbox.path().to_owned()));
        let app = Router::new()
            .fallback(handler::handle)
            .with_state(Arc::clone(&shared))
            .into_make_service_with_connect_info::<Peer>();
        let stop = shared.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                // It only ends by the other branch.
                _ = axum::serve(port, app) => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(Self {
            shared,
            local,
            _sandbox: sandbox,
        })
    }

    /// Base address of Resource Manager, without a slash at its end.
    pub fn arm(&self) -> &str {
        &self.shared.base
    }

    /// Base address of Entra ID.
    pub fn login(&self) -> &str {
        &self.shared.base
    }

    /// Base address of the machine's identity, as `AZURE_POD_IDENTITY_AUTHORITY_HOST`. Never behind a proxy.
    pub fn imds(&self) -> &str {
        &self.local
    }

    /// `IDENTITY_ENDPOINT` and `IDENTITY_HEADER` of App Service and of compute instances.
    pub fn app_service_identity(&self) -> (String, &'static str) {
        (format!("{}/MSI/token", self.local), crate::imds::APP_SERVICE_SECRET)
    }

    /// The document about clouds, as `ARM_CLOUD_METADATA_URL`. Its one cloud is `FakeCloud`.
    pub fn cloud_metadata_url(&self) -> String {
        format!("{}/metadata/endpoints?api-version=2019-05-01", self.shared.base)
    }

    /// Path of the workspace in Resource Manager.
    pub fn workspace_path(&self) -> String {
        self.shared.scope()
    }

    /// Address of the container of the default datastore, without a SAS.
    pub fn default_container(&self) -> String {
        format!("{}/{ACCOUNT}/{BLOBSTORE}", self.shared.base)
    }

    /// What the server was started with.
    pub fn setting(&self) -> &Setting {
        &self.shared.setting
    }
}

impl Drop for AmlServer {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        life::process::kill_all(&self.shared.stamp);
    }
}
