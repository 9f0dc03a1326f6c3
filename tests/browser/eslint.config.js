import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    files: ["**/*.js"],
    languageOptions: {
      ecmaVersion: 2024,
      sourceType: "module",
      globals: { ...globals.browser, AudioWorkletProcessor: "readonly", registerProcessor: "readonly", sampleRate: "readonly" },
    },
    rules: {
      curly: ["error", "multi-line"],
      eqeqeq: "error",
      "func-style": ["error", "declaration", { allowArrowFunctions: true }],
      "max-lines": ["error", 450],
      "max-lines-per-function": ["error", 60],
      "no-implicit-coercion": "error",
      "no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
      "prefer-template": "error",
      "no-restricted-properties": [
        "error",
        { property: "innerHTML", message: "What comes from a model is text." },
        { property: "outerHTML", message: "What comes from a model is text." },
        { property: "insertAdjacentHTML", message: "What comes from a model is text." },
      ],
      "no-restricted-syntax": ["error", "ExportDefaultDeclaration", "ExportAllDeclaration", "ImportExpression"],
    },
  },
  {
    // Pure: they run in node, too, and are tested there.
    files: ["**/page/{wire,state}/**/*.js", "**/page/audio/{pcm,g711,resampler,spectrum}.js", "**/page/talk/{conductor,tools,places,turn_detection}.js"],
    languageOptions: { globals: { ...Object.fromEntries(Object.keys(globals.browser).map((name) => [name, "off"])), ...globals["shared-node-browser"] } },
    rules: { "no-restricted-globals": ["error", "document", "window", "performance", "Date", "setTimeout"] },
  },
];
