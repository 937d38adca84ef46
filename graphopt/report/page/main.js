// The page: opens the story and shows it.
document.body.append(document.title);
