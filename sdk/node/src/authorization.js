// What the `Authorization` of a request presents, read as Latchkey itself reads it.

/**
 * The key in `Authorization` headers (RFC 6750 §2.1).
 *
 * @param {readonly string[]} values one for each header
 * @returns {string | null} null where no key is given; what is given twice is given back as something that is no key
 */
export function presentedKey(values) {
  if (values.length > 1) return values.some((value) => value.trim() !== "") ? values.join(", ") : null;
  const header = values[0] ?? "";
  if (!/^bearer /i.test(header)) return null;
  let [start, end] = [7, header.length];
  while (start < end && header[start] === " ") start++;
  while (end > start && header[end - 1] === " ") end--;
  return header.slice(start, end) || null;
}

/**
 * The values of a request of node:http. Its `headers` keep the first of several `Authorization` only, without a word.
 *
 * @param {{headers: Record<string, string | string[] | undefined>, rawHeaders?: readonly string[]}} request
 * @returns {string[]}
 */
export function authorizationOf({ headers, rawHeaders = [] }) {
  const sent = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    if (rawHeaders[index].toLowerCase() === "authorization") sent.push(rawHeaders[index + 1]);
  }
  if (sent.length > 1) return sent;
  const value = headers.authorization;
  return value === undefined ? [] : [value].flat();
}
