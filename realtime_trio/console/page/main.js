document.title = "Realtime Console";
