// The format of keys, `<prefix><kind>_<inst>_<kid>_<secret><crc>`: what has not got it is no key, and no server need be asked.

export const USER_KEY = "u";
export const SERVICE_KEY = "s";

const LONGEST = 80;
const CHECKSUM_LENGTH = 6;
const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SHAPE = /^[a-z]{2,4}([us])_[0-9A-Za-z]{6}_([0-9A-Za-z]{16})_[0-9A-Za-z]{49}$/;

const CRC_TABLE = new Uint32Array(256).map((_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/**
 * The public id (16 characters) of a key of this kind.
 *
 * @param {unknown} text anything that somebody presents as a key
 * @param {string} kind `USER_KEY` or `SERVICE_KEY`
 * @returns {string | null} null where shape, kind or checksum is wrong; nothing is proven where they are right
 */
export function keyIdOf(text, kind) {
  if (typeof text !== "string" || text.length > LONGEST) return null;
  const match = SHAPE.exec(text);
  if (match === null || match[1] !== kind) return null;
  return checksumOf(text.slice(0, -CHECKSUM_LENGTH)) === text.slice(-CHECKSUM_LENGTH) ? match[2] : null;
}

/**
 * CRC32 of an ASCII text as six base62 characters, zero padded.
 *
 * @param {string} text
 * @returns {string}
 */
export function checksumOf(text) {
  let crc = 0xffffffff;
  for (let index = 0; index < text.length; index++) {
    crc = CRC_TABLE[(crc ^ text.charCodeAt(index)) & 0xff] ^ (crc >>> 8);
  }
  let rest = (crc ^ 0xffffffff) >>> 0;
  let written = "";
  for (let digit = 0; digit < CHECKSUM_LENGTH; digit++) {
    written = BASE62[rest % 62] + written;
    rest = Math.floor(rest / 62);
  }
  return written;
}
