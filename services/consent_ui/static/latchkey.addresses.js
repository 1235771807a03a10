// Says below the redirect addresses, while an author types, what registration would refuse. A convenience only: the
// rules are those of services/auth_api/oauth/redirect_uri.py, in their order and words, and auth_api has the last word.
"use strict";

const MOST = 10;
const LONGEST = 2000;
const RESERVED = ["code", "state", "iss", "context", "error", "error_description", "error_uri"];
const PAUSE_MS = 400;

function faultOf(uri) {
  const [scheme] = /^[A-Za-z][A-Za-z0-9+.-]*(?=:)/.exec(uri) ?? [];
  const web = /^https?:\/\/([^/?#]*)/.exec(uri);
  const authority = /^[^:/?#]+:\/\/([^/?#]*)/.exec(uri);
  if (!uri) return "must not be empty";
  if (uri.length > LONGEST) return `must not be longer than ${LONGEST} characters`;
  if (/[^A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]/.test(uri)) {
    return "must consist of the characters of a URI (ASCII, no spaces, controls, quotes or backslashes)";
  }
  if (/%(?![0-9A-Fa-f]{2})/.test(uri)) return "holds a % that two hexadecimal digits do not follow";
  if (uri.includes("*")) return "must not hold a * (there are no wildcards)";
  if (uri.includes("#")) return "must not hold a fragment (#)";
  if (!scheme) return "must be absolute, with a scheme";
  if (/^https?$/.test(scheme)) {
    if (!web) return `must go on with // and a host after ${scheme}:`;
  } else if (!/^[a-z][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)+:\//.test(uri)) {
    return "must be https, http on a loopback host, or a reverse-DNS private scheme (like com.example.app:/callback)";
  }
  if (authority?.[1].includes("@")) return "must not hold a user name or password";
  return (web && faultOfHost(uri, web[1])) ?? faultOfPath(uri);
}

function faultOfHost(uri, authority) {
  const [, host, port] = /^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::([1-9][0-9]{0,4}))?$/.exec(authority) ?? [];
  if (!host || Number(port ?? 0) > 65535) return "must name a host and, if any, a port from 1 to 65535";
  if (!host.startsWith("[") && !isHostName(host.replace(/\.$/, ""))) return "must name a well-formed host";
  if (uri.startsWith("http:") && !["localhost", "127.0.0.1", "[::1]"].includes(host)) {
    return "may be http only on 127.0.0.1, [::1] or localhost; use https";
  }
  return null;
}

function isHostName(name) {
  const isLabel = (label) => /^[A-Za-z0-9-]{1,63}$/.test(label) && !label.startsWith("-") && !label.endsWith("-");
  return name.length <= 253 && name.split(".").every(isLabel);
}

function faultOfPath(uri) {
  const [path, ...query] = uri.split("?");
  if (/\/(\.|%2e){1,2}(\/|$)/i.test(path)) return "must not hold . or .. as a path segment";
  for (const piece of query.join("?").split(/[&;]/)) {
    const name = new URLSearchParams(piece).keys().next().value?.toLowerCase();
    if (RESERVED.includes(name)) return `must not hold the query parameter ${name}, which is ours to add`;
  }
  return null;
}

function faultsOf(uris) {
  if (uris.length > MOST) return [`The list of redirect addresses must be at most ${MOST}.`];
  return uris.flatMap((uri, index) => {
    const fault = faultOf(uri) ?? (uris.indexOf(uri) < index ? "is there twice" : null);
    return fault ? [`Redirect address ${index + 1} ${fault}.`] : [];
  });
}

function check(field, said) {
  const uris = field.value.split("\n").map((line) => line.trim()).filter(Boolean);
  const faults = faultsOf(uris);
  const fine = uris.length === 1 ? "This address can be registered." : `These ${uris.length} addresses can be registered.`;
  said.textContent = faults.join(" ") || (uris.length ? fine : "");
  said.className = faults.length ? "wrong" : "small soft";
  if (faults.length) field.setAttribute("aria-invalid", "true");
  else field.removeAttribute("aria-invalid");
}

for (const field of document.querySelectorAll("[data-addresses]")) {
  const said = document.createElement("p");
  let timer = 0;
  said.id = `${field.id}-said`;
  said.setAttribute("role", "status");
  field.after(said);
  field.setAttribute("aria-describedby", `${field.getAttribute("aria-describedby")} ${said.id}`);
  field.addEventListener("input", () => {
    // What the server said was about what stood there before.
    document.getElementById(`${field.id}-wrong`)?.setAttribute("hidden", "");
    clearTimeout(timer);
    timer = setTimeout(check, PAUSE_MS, field, said);
  });
}
