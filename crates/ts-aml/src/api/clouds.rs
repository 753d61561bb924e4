//! Where the services of the cloud are: what the configuration says, or the document that `ARM_CLOUD_METADATA_URL` names.
//!
//! Sources: azureml-core 1.61.0, `azureml/_vendor/azure_cli_core/cloud.py`, `get_known_clouds` and `_get_cloud_or_default`; "Load cloud
//! endpoints" of the Azure command line, for air-gapped clouds.

use super::token::variable;
use crate::{AmlConfig, Cloud, Lookup, error};
use serde_json::Value as Json;
use std::sync::Arc;
use tokio::sync::OnceCell;
use ts_core::{
    Error, ErrorKind, Result, SecretSource,
    http::{HttpClient, Method, Request, Url},
};

const METADATA: &str = "ARM_CLOUD_METADATA_URL";
const CURRENT: &str = "AZUREML_CURRENT_CLOUD";

/// The cloud, once somebody has asked for it.
#[derive(Debug)]
pub(crate) struct Clouds {
    client: HttpClient,
    secrets: Arc<dyn SecretSource>,
    configured: Cloud,
    lookup: Option<Lookup>,
    found: OnceCell<Cloud>,
}

impl Clouds {
    /// Asks nobody yet.
    pub(super) fn new(client: HttpClient, secrets: Arc<dyn SecretSource>, config: &AmlConfig) -> Self {
        Self {
            client,
            secrets,
            configured: config.cloud.clone(),
            lookup: config.lookup.clone(),
            found: OnceCell::new(),
        }
    }

    /// Where the services are.
    ///
    /// # Errors
    /// `Config` if there is no such cloud; those of asking for the document, which is done again the next time.
    pub(super) async fn get(&self) -> Result<&Cloud> {
        self.found.get_or_try_init(|| self.look()).await
    }

    /// The same, as far as it is known.
    pub(crate) fn known(&self) -> &Cloud {
        self.found.get().unwrap_or(&self.configured)
    }

    async fn look(&self) -> Result<Cloud> {
        let Some(lookup) = &self.lookup else {
            return Ok(self.configured.clone());
        };
        let name = match &lookup.name {
            Some(name) => Some(name.clone()),
            None => variable(&*self.secrets, CURRENT)
                .await
                .map(|name| name.expose().trim().to_owned()),
        };
        let mut cloud = match variable(&*self.secrets, METADATA).await {
            Some(address) => of_document(&self.document(address.expose()).await?, name.as_deref())?,
            None => named(name.as_deref())?,
        };
        cloud.imds.clone_from(&self.configured.imds);
        if let Some(url) = &lookup.arm {
            cloud.arm = url.clone();
        }
        if let Some(url) = &lookup.login {
            cloud.login = url.clone();
        }
        Ok(cloud)
    }

    async fn document(&self, address: &str) -> Result<Json> {
        let url = Url::parse(address.trim()).ok().filter(Url::has_host);
        let url =
            url.ok_or_else(|| Error::new(ErrorKind::Config, format!("`{METADATA}` is no address of a server")))?;
        let request = Request::new("ask for the clouds at `ARM_CLOUD_METADATA_URL`", Method::GET, url);
        let read = |reply: ts_core::http::Reply| {
            if reply.is_success() {
                reply.json()
            } else {
                Err(error::of_reply(&reply))
            }
        };
        self.client.send(&request, read).await
    }
}

/// A cloud that everybody knows; without a name the public one.
fn named(name: Option<&str>) -> Result<Cloud> {
    let name = name.unwrap_or(Cloud::NAMES[0]);
    Cloud::named(name).ok_or_else(|| {
        let help = format!(
            "write one of `{}`, or set `{METADATA}` to the address of the document that describes this cloud",
            Cloud::NAMES.join("`, `")
        );
        unknown(name).with_help(help)
    })
}

fn unknown(name: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!("there is no cloud `{}`", name.escape_debug()),
    )
    .with_key("cloud")
}

/// A cloud of the document; without a name the first one. What it does not describe may be one that everybody knows.
fn of_document(document: &Json, name: Option<&str>) -> Result<Cloud> {
    // Versions of the interface before 2019-05-01 give one cloud without a list, and without its name.
    let all = match document {
        Json::Array(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    let has_name = |cloud: &&Json| name.is_none_or(|name| cloud["name"] == name);
    let Some(cloud) = all.iter().find(has_name) else {
        return named(name).map_err(|error| {
            let names: Vec<&str> = all.iter().filter_map(|cloud| cloud["name"].as_str()).collect();
            error.with_help(format!("the document at `{METADATA}` has: {}", names.join(", ")))
        });
    };
    read(cloud).ok_or_else(|| {
        let message = format!("the document at `{METADATA}` does not say where Resource Manager and the login are");
        Error::new(ErrorKind::Protocol, message)
            .with_help("use the version 2019-05-01: `…/metadata/endpoints?api-version=2019-05-01`")
    })
}

fn read(cloud: &Json) -> Option<Cloud> {
    let url = |value: &Json| Url::parse(value.as_str()?).ok().filter(Url::has_host);
    let authentication = &cloud["authentication"];
    Some(Cloud::at(
        url(&cloud["resourceManager"])?,
        authentication["audiences"][0].as_str()?,
        url(&authentication["loginEndpoint"])?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cloud(name: &str) -> Json {
        json!({"name": name, "resourceManager": format!("https://arm.{name}.example"), "authentication": {
            "loginEndpoint": format!("https://login.{name}.example/"), "audiences": [format!("https://audience.{name}.example"), "x"],
        }})
    }

    #[test]
    fn a_cloud_is_found_by_its_name_or_is_the_first() {
        let document = json!([cloud("First"), cloud("Second")]);
        for (name, expected) in [(None, "First"), (Some("Second"), "Second")] {
            let found = of_document(&document, name).unwrap();
            assert_eq!(Some(&found), read(&cloud(expected)).as_ref());
            assert_eq!(found.audience, format!("https://audience.{expected}.example"));
        }
        let public = of_document(&document, Some("AzureCloud")).unwrap();
        assert_eq!(Some(public), Cloud::named("AzureCloud"));
        let error = of_document(&document, Some("Third")).unwrap_err();
        assert_eq!((error.kind(), error.key()), (ErrorKind::Config, Some("cloud")));
        assert!(error.help().unwrap().ends_with("First, Second"), "{error:?}");
    }

    #[test]
    fn a_document_that_says_too_little_is_refused() {
        for document in [
            json!([]),
            json!([{"name": "A"}]),
            json!("x"),
            json!({"resourceManager": "nowhere"}),
        ] {
            let error = of_document(&document, Some("A")).unwrap_err();
            assert!(error.help().is_some(), "{document}: {error:?}");
        }
    }

    #[test]
    fn clouds_that_everybody_knows_need_no_document() {
        assert_eq!(named(None).ok(), Cloud::named("AzureCloud"));
        assert_eq!(named(Some("AzureChinaCloud")).ok(), Cloud::named("AzureChinaCloud"));
        let error = named(Some("Mine")).unwrap_err();
        assert!(error.help().unwrap().contains(METADATA), "{error:?}");
    }
}
