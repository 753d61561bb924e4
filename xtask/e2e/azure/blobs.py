"""Microsoft's blob client does the same to two storages, the fake's and Azurite's: both must answer alike.

usage: blobs.py FAKE-ENDPOINT ACCOUNT KEY AZURITE-ENDPOINT ACCOUNT KEY
"""

import base64
import datetime
import sys
import uuid

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import (
    BlobBlock,
    BlobServiceClient,
    ContainerClient,
    ContainerSasPermissions,
    generate_container_sas,
)

# What the real service answers where Azurite does not: see "Status and error codes" of Azure Storage.
REAL = {
    "expired": "403 AuthenticationFailed",
    "forged": "403 AuthenticationFailed",
    "wrong key": "403 AuthenticationFailed",
}


def seen(action):
    """What a client sees of an action: a value, or an error's status and code."""
    try:
        return action()
    except HttpResponseError as error:
        return f"{error.status_code} {error.error_code and str(getattr(error.error_code, 'value', error.error_code))}"


def script(endpoint, account, key):
    told = {}
    service = BlobServiceClient(endpoint, credential={"account_name": account, "account_key": key}, retry_total=0)
    name = f"c{uuid.uuid4().hex[:12]}"
    container = service.create_container(name)
    told["container twice"] = seen(lambda: service.create_container(name))
    told["bad name"] = seen(lambda: service.create_container("a--b"))

    block = container.get_blob_client("folder/whole ü.txt")
    block.upload_blob(b"0123456789", metadata={"kind": "x"})
    properties = block.get_blob_properties()
    told["properties"] = (properties.size, properties.metadata, str(properties.blob_type))
    told["twice"] = seen(lambda: block.upload_blob(b"other"))
    told["range"] = block.download_blob(2, 3).readall()
    told["range beyond"] = seen(lambda: block.download_blob(99, 1).readall())
    told["whole"] = block.download_blob().readall()
    etag = properties.etag
    told["unchanged"] = seen(lambda: block.download_blob(etag=etag, match_condition=MatchConditions.IfModified).readall())
    told["same"] = seen(lambda: block.upload_blob(b"new", overwrite=True, etag=etag, match_condition=MatchConditions.IfNotModified) and 1)
    told["not same"] = seen(
        lambda: block.upload_blob(b"newer", overwrite=True, etag=etag, match_condition=MatchConditions.IfNotModified) and 1
    )
    block.set_blob_metadata({"upload_status": "completed"})
    told["metadata"] = block.get_blob_properties().metadata

    parts = container.get_blob_client("parts")
    ids = [base64.b64encode(f"{n:04}".encode()).decode() for n in range(3)]
    for number, one in enumerate(ids):
        parts.stage_block(one, f"<{number}>".encode())
    told["not committed"] = seen(lambda: parts.download_blob().readall())
    parts.commit_block_list([BlobBlock(one) for one in (ids[2], ids[0])])
    told["committed"] = parts.download_blob().readall()
    told["lost block"] = seen(lambda: parts.commit_block_list([BlobBlock(ids[1])]) and 1)
    told["blocks"] = [[(one.id, one.size) for one in kind] for kind in parts.get_block_list("all")]

    log = container.get_blob_client("log")
    told["no log"] = seen(lambda: log.append_block(b"x"))
    log.create_append_blob()
    log.append_block(b"one\n")
    told["append at"] = seen(lambda: log.append_block(b"two\n", appendpos_condition=4)["blob_append_offset"])
    told["append elsewhere"] = seen(lambda: log.append_block(b"three\n", appendpos_condition=4))
    told["append too much"] = seen(lambda: log.append_block(b"three\n", maxsize_condition=9))
    told["log"] = log.download_blob().readall()
    told["append to block blob"] = seen(lambda: block.append_block(b"x"))

    told["list"] = [one.name for one in container.list_blobs()]
    told["prefix"] = [one.name for one in container.list_blobs(name_starts_with="folder/")]
    told["walk"] = [one.name for one in container.walk_blobs()]
    told["pages"] = [[one.name for one in page] for page in container.list_blobs(results_per_page=2).by_page()]
    told["listed metadata"] = [one.metadata or {} for one in container.list_blobs(include=["metadata"])]

    def signed(permission, hours=1, forge=False):
        now = datetime.datetime.now(datetime.timezone.utc)
        sas = generate_container_sas(
            account, name, key, permission=permission, expiry=now + datetime.timedelta(hours=hours), start=now - datetime.timedelta(hours=2)
        )
        if forge:
            sas = sas[:-6] + "AAAA%3D"
        return ContainerClient(endpoint, name, credential=sas, retry_total=0)

    reader = signed(ContainerSasPermissions(read=True))
    told["sas reads"] = reader.get_blob_client("log").download_blob().readall()
    told["sas may not list"] = seen(lambda: list(reader.list_blobs()))
    told["sas may not write"] = seen(lambda: reader.get_blob_client("new").upload_blob(b"x"))
    creator = signed(ContainerSasPermissions(create=True))
    told["sas creates"] = seen(lambda: creator.get_blob_client("made").upload_blob(b"x") and 1)
    appender = signed(ContainerSasPermissions(add=True))
    told["sas appends"] = seen(lambda: appender.get_blob_client("log").append_block(b"!") and 1)
    told["expired"] = seen(lambda: list(signed(ContainerSasPermissions(list=True), hours=-1).list_blobs()))
    told["forged"] = seen(lambda: list(signed(ContainerSasPermissions(list=True), forge=True).list_blobs()))
    wrong = BlobServiceClient(
        endpoint, credential={"account_name": account, "account_key": base64.b64encode(b"k" * 64).decode()}, retry_total=0
    )
    told["wrong key"] = seen(lambda: wrong.get_container_client(name).get_container_properties())

    log.delete_blob()
    told["gone"] = seen(lambda: log.download_blob().readall())
    told["delete twice"] = seen(lambda: log.delete_blob())
    service.delete_container(name)
    told["no container"] = seen(lambda: list(container.list_blobs()))
    return told


fake = script(*sys.argv[1:4])
azurite = script(*sys.argv[4:7])
differences = []
for step, answer in azurite.items():
    wanted = REAL.get(step, answer)
    if fake[step] != wanted:
        differences.append(f"{step}: the fake has {fake[step]!r}, expected is {wanted!r}")
assert not differences, "\n".join(differences)
print("ok")
