#!/bin/bash
# Builds Kubernetes 1.20.2 from Debian 12's source package: leaves its programs in `out/` of the current, empty folder.
#
# Which folder that is, who waits for whom and what is kept is `binaries.rs`'s to say. Ends with 77 where the source is not to be
# had.
#
# 1.20.2 is the newest version of which Debian has the whole source; later packages hold `kubectl` alone.
# Source: Debian 12, package `kubernetes`, version 1.20.5+really1.20.2.
set -euo pipefail

version=1.20.2
debian_version=1.20.5+really1.20.2
top=$PWD

# --- The source. Lists and folders of our own leave the machine's apt as it is; the archive's keys are those of the machine.
trap 'exit 77' ERR
archive() {
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' 'Component: main' 'Origin: Debian' |
        sed -n 1p
}
from=$(archive)
if [ -z "$from" ]; then
    apt-get -q update
    from=$(archive)
fi
[ -n "$from" ] || exit 77
keys=/usr/share/keyrings/debian-archive-keyring.gpg
mkdir -p lists/partial archives/partial source
echo "deb-src [signed-by=$keys] $from bookworm main" >sources.list
apt=(-q -o Acquire::Retries=3 -o "Dir::Etc::sourcelist=$top/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$top/lists" -o "Dir::Cache=$top/archives" -o APT::Sandbox::User=root)
apt-get "${apt[@]}" update
full=$(apt-cache "${apt[@]}" showsrc kubernetes | sed -n "s/^Version: \($debian_version-.*\)/\1/p" | sort -V | tail -n 1)
(cd source && apt-get "${apt[@]}" source --download-only "kubernetes=$full")
trap - ERR
dpkg-source --no-check -x source/kubernetes_*.dsc tree # apt has compared the checksums

# --- A GOPATH around it, which the generator below wants. All dependencies come along in `vendor/`.
mkdir -p go/src/k8s.io out
ln -s "$top/tree" go/src/k8s.io/kubernetes
cd go/src/k8s.io/kubernetes
export PATH=/usr/lib/go-1.19/bin:$PATH HOME=$top GOPATH=$top/go GOCACHE=$top/cache
export GO111MODULE=off GOPROXY=off GOTOOLCHAIN=local GOFLAGS='' CGO_ENABLED=0

# reflect2 1.0.1, which is vendored, reaches into Go's runtime in a way that Go 1.18 changed: the API server would crash at the
# first custom resource. Source: github.com/modern-go/reflect2, version 1.0.2, `go_above_118_map.go`.
rm -r vendor/github.com/modern-go/reflect2
cp -r /usr/share/gocode/src/github.com/modern-go/reflect2 vendor/github.com/modern-go/

# The tarball lacks generated code: the OpenAPI definitions of every package that is marked for them.
# Source: Kubernetes 1.20, `hack/make-rules/helpers`, `build/root/Makefile.generated_files`.
go build -o "$top/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
# The folders of `vendor/k8s.io` are links, which a search follows only where they are named.
marked=$(grep -rl --include='*.go' '+k8s:openapi-gen=' pkg cmd vendor/k8s.io/*/ |
    grep -Ev '^vendor/k8s.io/(code-generator|sample-apiserver|gengo|kube-openapi)/' |
    xargs -n 1 dirname | sort -u | sed 's,//*,/,g; s,^,k8s.io/kubernetes/,' | paste -sd ,)
"$top/openapi-gen" --logtostderr --input-dirs "$marked" --output-package k8s.io/kubernetes/pkg/generated/openapi \
    --output-file-base zz_generated.openapi --go-header-file hack/boilerplate/boilerplate.generatego.txt --report-filename /dev/null

# --- The programs. Without these values they call themselves 0.0.0, which clients reject.
values=''
for package in component-base/version client-go/pkg/version; do
    at=k8s.io/kubernetes/vendor/k8s.io/$package
    values+=" -X $at.gitVersion=v$version -X $at.gitMajor=1 -X $at.gitMinor=20 -X $at.gitTreeState=clean"
    values+=" -X $at.buildDate=1970-01-01T00:00:00Z"
done
# The tags leave out the clients of cloud providers and Docker.
go build -trimpath -tags 'providerless dockerless' -ldflags "-s -w$values" -o "$top/out/" \
    ./cmd/kube-apiserver ./cmd/kube-controller-manager ./cmd/kube-scheduler ./cmd/kubelet ./cmd/kubectl
[ "$("$top/out/kube-apiserver" --version)" = "Kubernetes v$version" ]
