// Checks custom resources with the validators of @kubernetes-models/* in the directory that is the argument.
// Reads a JSON list of objects on standard input and writes a JSON list: for each object, a list of complaints.
//
// The validators let unknown fields pass, and an API server drops such fields in silence. So each object is watched while
// it is validated: a field that no validator looks at is one that its kind does not have, and a complaint.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const PROMETHEUS = "prometheus-operator/_schemas/ComGithubPrometheusOperatorPrometheusOperatorPkgApisMonitoringV1";
const VALIDATORS = {
  "gateway.networking.k8s.io/v1 GRPCRoute": "gateway-api/_schemas/IoK8sSigsGatewayApiApisV1GRPCRoute",
  "keda.sh/v1alpha1 ScaledObject": "keda/_schemas/ComGithubKedacoreKedaV2ApisKedaV1alpha1ScaledObject",
  "keda.sh/v1alpha1 TriggerAuthentication": "keda/_schemas/ComGithubKedacoreKedaV2ApisKedaV1alpha1TriggerAuthentication",
  "monitoring.coreos.com/v1 PodMonitor": `${PROMETHEUS}PodMonitor`,
  "monitoring.coreos.com/v1 PrometheusRule": `${PROMETHEUS}PrometheusRule`,
  "monitoring.coreos.com/v1 ServiceMonitor": `${PROMETHEUS}ServiceMonitor`,
};

// The same object, and a list of the fields that nobody has read yet, by path.
function watch(root) {
  const unread = new Map();
  const wrap = (value, path) => {
    if (value === null || typeof value !== "object") return value;
    const inner = Array.isArray(value) ? [] : {};
    for (const key of Object.keys(value)) {
      const here = `${path}/${key}`;
      inner[key] = wrap(value[key], here);
      if (!Array.isArray(value)) unread.set(here, true);
    }
    return new Proxy(inner, {
      get(target, key) {
        if (typeof key === "string") unread.delete(`${path}/${key}`);
        return target[key];
      },
    });
  };
  return { object: wrap(root, ""), unread };
}

async function complaints(object) {
  const kind = `${object.apiVersion} ${object.kind}`;
  if (!(kind in VALIDATORS)) return [`no validator for ${kind}`];
  const file = `${process.argv[2]}/@kubernetes-models/${VALIDATORS[kind]}.js`;
  const { validate } = await import(pathToFileURL(file));
  const watched = watch(object);
  validate(watched.object);
  const wrong = (validate.errors ?? []).map((error) => `${error.instancePath}: ${error.keyword} ${JSON.stringify(error.params)}`);
  // Of an unknown object, its fields are not worth a line each.
  const unknown = [...watched.unread.keys()].filter((path) => !watched.unread.has(path.slice(0, path.lastIndexOf("/"))));
  return [...wrong, ...unknown.map((path) => `${path}: unknown field`)];
}

const answers = [];
for (const object of JSON.parse(readFileSync(0, "utf8"))) answers.push(await complaints(object));
console.log(JSON.stringify(answers));
