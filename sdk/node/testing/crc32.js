// CRC32 by long division, bit by bit, in big integers: slow, and nothing like the one that is tested.

const DIGITS = [..."0123456789", ..."ABCDEFGHIJKLMNOPQRSTUVWXYZ", ..."abcdefghijklmnopqrstuvwxyz"];

/** Six base62 characters, as keys end with them. */
export function crc32Of(text) {
  const reversed = (byte) => [...byte.toString(2).padStart(8, "0")].reverse().join("");
  const bits = [...Buffer.from(text)].map(reversed).join("") + "0".repeat(32);
  let register = 0n;
  [...bits].forEach((bit, place) => {
    register = (register << 1n) | (BigInt(bit) ^ (place < 32 ? 1n : 0n));
    if (register >> 32n) register ^= 0x104c11db7n;
  });
  let number = BigInt(`0b${[...(register ^ 0xffffffffn).toString(2).padStart(32, "0")].reverse().join("")}`);
  const written = [];
  for (let digit = 0; digit < 6; digit++, number /= 62n) written.unshift(DIGITS[Number(number % 62n)]);
  return written.join("");
}
