// Clients for Attachery, made at run time from the descriptor set of its contract.
import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const descriptors = new URL("../../generated/attachery.binpb", import.meta.url);
const definition = protoLoader.loadFileDescriptorSetFromBuffer(readFileSync(descriptors), {
  longs: Number, // sizes are below 2^53
  enums: String,
  defaults: true,
});
const { attachery } = grpc.loadPackageDefinition(definition);
const decode = (name, bytes) => definition[name].deserialize(bytes);

/** Opens clients of both services on an address, with one API key or session token. */
export function connect(address, key) {
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${key}`);
  const open = (Service) => {
    const client = new Service(address, grpc.credentials.createInsecure());
    const call = (method, request, seconds = 10) =>
      new Promise((resolve, reject) => {
        const options = { deadline: Date.now() + seconds * 1000 };
        client[method](request, metadata, options, (error, response) =>
          error ? reject(explained(error)) : resolve(response),
        );
      });
    return { call, close: () => client.close() };
  };
  return {
    uploads: open(attachery.v1.UploadSessionService),
    attachments: open(attachery.v1.AttachmentService),
  };
}

/** A map of the contract as an object: protobuf.js reads a map of a descriptor set as its entries. */
export function mapped(entries) {
  return Object.fromEntries(entries.map(({ key, value }) => [key, value]));
}

/** Adds `reason` and `facts` of google.rpc.ErrorInfo, by which a caller decides what to do. */
function explained(error) {
  const [status] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (!status) return error;
  const { details } = decode("google.rpc.Status", status);
  const info = details.find((any) => any.type_url.endsWith("/google.rpc.ErrorInfo"));
  if (!info) return error;
  const { reason, metadata } = decode("google.rpc.ErrorInfo", info.value);
  return Object.assign(error, { reason, facts: mapped(metadata) });
}
