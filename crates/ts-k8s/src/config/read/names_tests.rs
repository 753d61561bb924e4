//! One line a fact about what names clusters and registries take.

use super::*;

macro_rules! names {
    ($($test:ident, $check:expr, [$($good:expr),* $(,)?], [$($bad:expr),* $(,)?];)*) => {
        $(#[test]
        fn $test() {
            for good in [$($good.to_string()),*] {
                assert_eq!($check(&good), Ok(()), "{good:?}");
            }
            for bad in [$($bad.to_string()),*] {
                assert!($check(&bad).is_err(), "{bad:?}");
            }
        })*
    };
}

names! {
    labels_of_dns, dns_label, ["a", "0", "a-b", "x".repeat(63)], ["", "-a", "a-", "A", "a.b", "a_b", "ä", "x".repeat(64)];
    subdomains, dns_subdomain, ["a", "a.b-c.d", "a".repeat(253)], ["", ".", "a..b", "a.", "a.-b", "A.b", "a".repeat(254)];
    keys_of_labels, label_key,
        ["a", "Accelerator", "a_b.c-d", "example.org/a", "x".repeat(63)],
        ["", "/a", "a/", "a/b/c", "Example.org/a", "-a", "a-", "x".repeat(64)];
    values_of_labels, label_value, ["", "a", "V100", "a_b.c-d", "x".repeat(63)], ["-a", "a-", "a b", "a/b", "x".repeat(64)];
    queues, queue, ["team-a", "a.b"], ["", "Team", "a_b", "x".repeat(64)];
    variables, env_name, ["A", "_a1", "a.b", "a-b", "-"], ["", "1a", "a b", "a=b", ".", "..", "..a", "ä"];
    resources, extended_resource,
        ["nvidia.com/gpu", "nvidia.com/mig-1g.5gb", "amd.com/gpu"],
        ["", "gpu", "cpu", "kubernetes.io/gpu", "alpha.kubernetes.io/nvidia-gpu", "nvidia.com/", "requests.nvidia.com/gpu"];
    task_roles, task_role, ["a", "ps0", "x".repeat(63)], ["", "a-b", "A", "a.b", "x".repeat(64)];
    versions, api_version, ["v1", "v1alpha1", "v2beta10"], ["", "1", "v", "valpha1", "v1alpha", "v1gamma1", "batch/v1"];
    mounts, mount_path, ["/a", "/a/b/"], ["", "/", "//", "a", "a/b", "/a:b", "/a/../b", "/a\n"];
    exports, absolute_path, ["/", "/a b/c", "/a:b"], ["", "a", "./a", "/a/../b"];
    directories, relative_path, ["", "a", "a/b", "a..b"], ["/a", "..", "a/../b", "../a"];
    servers, server, ["10.10.10.10", "nfs.example.org", "fd00::1"], ["", "a b", "a/b", "nfs://a"];
    vaults, azure_vault,
        [
            "abc", "My-Vault-1", "x".repeat(24), "my-vault.vault.azure.net", "My-Vault.Vault.Azure.Net",
            "abc.vault.usgovcloudapi.net", "abc.vault.azure.cn", "abc.vault.microsoftazure.de",
        ],
        [
            "", "ab", "1ab", "-ab", "ab-", "a--b", "a_b", "a b", "x".repeat(25), "abc.", "abc.def", "ab.vault.azure.net",
            ".vault.azure.net", "abc.vault.azure.net.example.org", "https://abc.vault.azure.net", "abc.vault.azure.net/",
            "abc.file.core.windows.net",
        ];
    secrets_of_vaults, azure_secret, ["a", "A-1", "x".repeat(127)], ["", "a_b", "a.b", "x".repeat(128)];
    accounts, azure_account, ["abc", "x".repeat(31)], ["ab", "a_b", "x".repeat(32)];
    shares, azure_share, ["abc", "x".repeat(63)], ["ab", "a/b", "x".repeat(64)];
    images, image,
        [
            "busybox", "msranni/nni:latest", "nvcr.io/nvidia/pytorch:24.01-py3", "localhost:5000/a/b", "REG.example.org/a",
            "a__b/c-d--e.f_g", "host:5000/a:1", "[fd00::1]:5000/a", "a:V1_x.y-z", "x".repeat(255),
            format!("a@sha256:{}", "0".repeat(64)), format!("r.io/a:1@sha256:{}", "a".repeat(64)),
        ],
        [
            "", " ", "a b", "Busybox", "team/Train", "a:", "a:.x", "a:-x", "a:b:c", "a/", "/a", "a//b", "-a", "a_", "a___b", "a..b",
            "host:port/a", "https://a.b/c", "-r.io/a", "r..io/a", "{your_image}", "a@", "a@sha256:00", "a@b@c",
            format!("a:{}", "x".repeat(129)), format!("a@sha256:{}", "g".repeat(64)), "x".repeat(256),
        ];
}
