//! What a cluster without a node is: etcd, the API server, the controller manager. Which flags they get, and when they are ready.
//!
//! Nothing is ever kept: no flag cares for durability.

use super::{
    audit,
    sandbox::{Daemon, NODE_ADDRESS, STATE, Sandbox},
};
use anyhow::Result;

/// Where the API server keeps everything. Source: etcd v3.4, `--listen-client-urls`.
const ETCD: &str = "http://127.0.0.1:2379";
const ETCD_PEERS: &str = "http://127.0.0.1:2380";

pub(super) fn start_etcd(sandbox: &Sandbox) -> Result<Daemon> {
    let cluster = format!("--initial-cluster=default={ETCD_PEERS}");
    let [clients, advertised, peers, advertised_peers] = [
        format!("--listen-client-urls={ETCD}"),
        format!("--advertise-client-urls={ETCD}"),
        format!("--listen-peer-urls={ETCD_PEERS}"),
        format!("--initial-advertise-peer-urls={ETCD_PEERS}"),
    ];
    sandbox.start(
        "etcd",
        &[
            "--data-dir=/var/lib/etcd",
            "--unsafe-no-fsync",
            "--log-level=warn",
            &clients,
            &advertised,
            &peers,
            &advertised_peers,
            &cluster,
        ],
    )
}

/// On port 443 of every address, that of the service `kubernetes` among them, so that pods reach it without a proxy.
pub(super) fn start_api_server(sandbox: &Sandbox) -> Result<Daemon> {
    let flags = [
        format!("--etcd-servers={ETCD}"),
        "--bind-address=0.0.0.0".to_owned(),
        "--secure-port=443".to_owned(),
        "--insecure-port=0".to_owned(),
        format!("--advertise-address={NODE_ADDRESS}"),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        certificate("tls-cert-file", "server.crt"),
        certificate("tls-private-key-file", "server.key"),
        certificate("client-ca-file", "ca.crt"),
        certificate("service-account-key-file", "accounts.pub"),
        certificate("service-account-signing-key-file", "accounts.key"),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--api-audiences=https://kubernetes.default.svc".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--profiling=false".to_owned(),
        certificate("kubelet-client-certificate", "admin.crt"),
        certificate("kubelet-client-key", "admin.key"),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        format!("--audit-policy-file={STATE}/{}", audit::POLICY),
        format!("--audit-log-path={STATE}/{}", audit::LOG),
    ];
    sandbox.start("kube-apiserver", &flags.each_ref().map(String::as_str))
}

pub(super) fn start_controller_manager(sandbox: &Sandbox) -> Result<Daemon> {
    let flags = [
        kubeconfig(),
        "--leader-elect=false".to_owned(),
        "--port=0".to_owned(),
        "--secure-port=0".to_owned(),
        certificate("service-account-private-key-file", "accounts.key"),
        certificate("root-ca-file", "ca.crt"),
        "--kube-api-qps=200".to_owned(),
        "--kube-api-burst=400".to_owned(),
    ];
    sandbox.start("kube-controller-manager", &flags.each_ref().map(String::as_str))
}

/// The flag with which a daemon is the administrator.
pub(super) fn kubeconfig() -> String {
    format!("--kubeconfig={STATE}/kubeconfig")
}

fn certificate(flag: &str, file: &str) -> String {
    format!("--{flag}={STATE}/certificates/{file}")
}
