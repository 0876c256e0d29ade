// Uploads a file, completes the session, and downloads the attachment again.
//
//   ATTACHERY=127.0.0.1:50051 KEY=... node upload.js FILE [TENANT]
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { connect, mapped } from "./attachery.js";

const [file, tenant_id = "demo"] = process.argv.slice(2);
const { uploads, attachments } = connect(process.env.ATTACHERY, process.env.KEY);
const bytes = await readFile(file);
const sha256 = createHash("sha256").update(bytes).digest("hex");

try {
  const { session, target } = await uploads.call("startUploadSession", {
    tenant_id,
    filename: basename(file),
    content_type: "application/octet-stream",
    size_bytes: bytes.length,
    checksums: { sha256 },
  });
  const { attachment_id } = session;

  const sent = await fetch(target.url, {
    method: target.method,
    headers: mapped(target.headers),
    body: bytes,
  });
  if (!sent.ok) throw new Error(`the upload was refused: HTTP ${sent.status} ${await sent.text()}`);

  const { attachment } = await uploads.call("completeUploadSession", { tenant_id, attachment_id });
  console.log(`${attachment_id} is ${attachment.state}, ${attachment.size_bytes} bytes`);

  const { results } = await attachments.call("resolveAttachments", {
    tenant_id,
    attachment_ids: [attachment_id],
    include_download_urls: true,
  });
  const downloaded = Buffer.from(await (await fetch(results[0].download.url)).arrayBuffer());
  if (!downloaded.equals(bytes)) throw new Error("the download differs from the file");
  console.log("downloaded the same bytes");
} catch (error) {
  console.error(`${error.reason ?? error.code ?? "failed"}: ${error.details ?? error.message}`);
  process.exitCode = 1;
} finally {
  uploads.close();
  attachments.close();
}
