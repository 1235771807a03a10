// Keys that were made for one resource (RFC 8707) are good for that one only.

/**
 * Whether a key is meant for this resource server.
 *
 * @param {unknown} audience the member `aud` of the introspection: absent for a key that is bound to nothing
 * @param {string | null} resource
 */
export function isFor(audience, resource) {
  if (audience === undefined || audience === null) return resource === null;
  return resource !== null && [audience].flat().some((each) => typeof each === "string" && normal(each) === normal(resource));
}

/** Forgives the case of scheme and host, and one slash at the end. */
function normal(address) {
  const origin = /^[^/?#]*\/\/[^/?#]*/.exec(address)?.[0] ?? "";
  const rest = address.slice(origin.length);
  return origin.toLowerCase() + (rest.endsWith("/") ? rest.slice(0, -1) : rest);
}
