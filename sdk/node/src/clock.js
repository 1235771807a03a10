// Time for deciding what is still believed: it never goes back, and a machine that slept has aged.

const JUMP = 1000;

let added = 0;
let apart = Date.now() - performance.now();

/**
 * Milliseconds of the monotonic clock, and those that it missed: it stands still while a machine is suspended, so where the
 * clock on the wall has jumped ahead, by sleep or by hand, that much has passed. Aging too much only costs a request.
 *
 * @returns {number}
 */
export function now() {
  const monotonic = performance.now();
  const difference = Date.now() - monotonic;
  if (difference - apart > JUMP) added += difference - apart;
  apart = difference;
  return monotonic + added;
}
