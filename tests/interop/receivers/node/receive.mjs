// Judges the deliveries that come as a JSON array on stdin: `v1` as the published library does, `v1a` by Node's own crypto.
import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const RAW_ED25519 = Buffer.from("302a300506032b6570032100", "hex"); // what stands before the 32 bytes in DER (RFC 8410)

function acceptedByLibrary({ secret, headers, body }) {
  try {
    new Webhook(secret).verify(Buffer.from(body, "base64"), headers);
    return true;
  } catch {
    return false;
  }
}

function acceptedByPublicKey({ publicKey, headers, body }) {
  const raw = Buffer.from(publicKey.replace(/^whpk_/, ""), "base64");
  const key = createPublicKey({ key: Buffer.concat([RAW_ED25519, raw]), format: "der", type: "spki" });
  const head = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`;
  const content = Buffer.concat([Buffer.from(head), Buffer.from(body, "base64")]);
  return headers["webhook-signature"]
    .split(" ")
    .filter((signature) => signature.startsWith("v1a,"))
    .some((signature) => verify(null, content, key, Buffer.from(signature.slice(4), "base64")));
}

const deliveries = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(deliveries.map((each) => [acceptedByLibrary(each), acceptedByPublicKey(each)])));
