// What `import … from "latchkey-sdk"` gives.
export { Guard } from "./guard.js";
export { Refused } from "./refused.js";
